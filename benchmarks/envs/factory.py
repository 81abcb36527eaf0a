"""`EnvFactory`: which environment to make and under which interpreter, as plain settings.

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

MakeEnv: TypeAlias = "Callable[[], gymnasium.Env]"  # an EnvFactory, or a function of a test
# interpreter of environment processes; the learner's own if unset
ENV_PYTHON = "SAFEDREAMER_ENV_PYTHON"


@dataclasses.dataclass(frozen=True)
class EnvFactory:
    """Makes one environment when called (see `benchmarks.envs.make.make_wrapped`), or lets another
    interpreter make it.
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
        from benchmarks.envs.make import make_wrapped  # here, because it imports the simulator

        return make_wrapped(**self.settings())

    def settings(self) -> dict[str, Any]:
        """Arguments of `make_wrapped`, plain values all."""
        settings = dataclasses.asdict(self)
        del settings["python"]
        return settings | {"wrappers": [list(wrapper) for wrapper in self.wrappers]}


def choose_python(python: str | None) -> None:
    """Have this process and those it starts run environments under `python`, where given.

    Raises BadInput if there is none.
    """
    if python is not None:
        os.environ[ENV_PYTHON] = python
    chosen_python()


def chosen_python() -> str:
    """Interpreter that the environment variable names, checked to exist; empty if unset.

    Raises BadInput.
    """
    named = os.environ.get(ENV_PYTHON, "")
    if not named:
        return ""
    found = shutil.which(os.path.expanduser(named))
    if found is None:
        raise BadInput(
            f"{ENV_PYTHON}={named} (--env-python) is no program; give the path of a Python "
            "that has Safety-Gymnasium"
        )
    return os.path.abspath(found)
