"""`EnvFactory`: plain settings of an environment and the interpreter it runs under.

Imports no simulator.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.runs.errors import BadInput

if TYPE_CHECKING:
    import gymnasium

MakeEnv: TypeAlias = "Callable[[], gymnasium.Env]"  # an EnvFactory, or a function in tests
# interpreter of environment processes; the learner's own if unset
ENV_PYTHON = "SAFEDREAMER_ENV_PYTHON"


@dataclasses.dataclass(frozen=True)
class EnvFactory:
    """Makes one environment when called (see `benchmarks.envs.make.make_wrapped`); its settings let
    another interpreter make it.
    """

    task: str
    obs: str = "default"
    action_repeat: int = 1
    render_mode: str | None = None
    camera: str | None = None
    height: int = 256
    width: int = 256
    resize: int = 0
    # (`module:factory`, number) each, applied in this order as factory(env, number)
    wrappers: tuple[tuple[str, float], ...] = ()
    python: str = ""  # interpreter that environments run under; empty: this one

    def __call__(self) -> gymnasium.Env:
        from benchmarks.envs.make import make_wrapped  # lazy: it imports the simulator

        return make_wrapped(**self.settings())

    def settings(self) -> dict[str, Any]:
        """Arguments of `make_wrapped`, all plain values."""
        settings = dataclasses.asdict(self)
        del settings["python"]
        return settings | {"wrappers": [list(wrapper) for wrapper in self.wrappers]}


def choose_python(python: str | None) -> None:
    """Run environments of this process and its children under `python`, if given.

    Raises BadInput if there is no such program.
    """
    if python is not None:
        os.environ[ENV_PYTHON] = python
    chosen_python()


def chosen_python() -> str:
    """Path of the interpreter that the environment variable names; empty if unset.

    Raises BadInput if there is no such program.
    """
    named = os.environ.get(ENV_PYTHON, "")
    if not named:
        return ""
    found = shutil.which(os.path.expanduser(named))
    if found is None:
        raise BadInput(
            f"{ENV_PYTHON}={named} (--env-python) is not a program; give the path of a Python "
            "that has Safety-Gymnasium"
        )
    return os.path.abspath(found)
