"""The interface of a method."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from agents.api import Agent, EnvSpec
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import LoopConfig, ReplayConfig, RunSpec


class Settings(NamedTuple):
    """All settings of a preset."""

    steps: int  # simulator steps
    loop: LoopConfig
    replay: ReplayConfig
    agent: Any
    max_minutes: float | None = None  # wall-clock budget of a run


@dataclasses.dataclass(frozen=True)
class Method:
    """A named way to train an agent.

    `make_settings(obs, preset, hazard_radius, task)` returns all default settings.
    """

    name: str
    family: str  # methods of a family run under the same Python
    kind: str
    summary: str
    constrains: str
    paper: str
    observations: tuple[str, ...]
    presets: tuple[str, ...]
    action_repeat: int | None  # of the release; None: the task decides
    load_config_type: Callable[[str], type]  # for an observation
    make_settings: Callable[[str, str, float, str], Settings]
    make_agent: Callable[[Any, EnvSpec], Agent] | None = None  # None in the engine "torch"
    no_pictures: str = ""  # why it does not support vision; "" if it does
    exact_resume: bool = True  # a resumed run equals an uninterrupted one
    # raises BadInput if settings do not fit each other
    check: Callable[[RunSpec], None] = lambda spec: None
    # to show before a run starts
    warnings: Callable[[RunSpec], list[str]] = lambda spec: []

    @property
    def engine(self) -> Literal["jax", "torch"]:
        """What trains it; never both in one process."""
        return "torch" if self.make_agent is None else "jax"

    def config_type(self, obs: str) -> type:
        """The type of the agent's settings with an observation.

        Raises BadInput if the package that defines it is not installed.
        """
        try:
            return self.load_config_type(obs)
        except ValueError as error:
            raise BadInput(str(error)) from error

    def agent(self, config: Any, env: EnvSpec) -> Agent:
        """Build the agent, for a loop in this process.

        Raises BadInput for methods that train in a separate process.
        """
        if self.make_agent is None:
            raise BadInput(
                f"{self.name} is OmniSafe's: it is trained and evaluated by `safedreamer "
                "train` and `evaluate`"
            )
        return self.make_agent(config, env)
