"""What a method is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from agents.api import Agent, EnvSpec
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import LoopConfig, ReplayConfig, RunSpec

Engine: TypeAlias = Literal["jax", "torch"]  # in processes of their own, never in one


class Settings(NamedTuple):
    """Everything a preset decides."""

    steps: int  # simulator steps
    loop: LoopConfig
    replay: ReplayConfig
    agent: Any
    max_minutes: float | None = None  # wall clock of a run


@dataclasses.dataclass(frozen=True)
class Method:
    """A named way to train an agent.

    `make_settings(obs, preset, hazard_radius, task)` gives the defaults of everything.
    """

    name: str
    family: str  # methods of one family run in one Python
    kind: str
    summary: str
    constrains: str
    paper: str
    exact_resume: bool  # a resumed run is the run that never stopped
    observations: tuple[str, ...]
    presets: tuple[str, ...]
    engine: Engine
    action_repeat: int | None  # of the release; None: the task decides
    load_config_type: Callable[[str], type]  # for an observation
    make_settings: Callable[[str, str, float, str], Settings]
    make_agent: Callable[[Any, EnvSpec], Agent] | None = None  # in the engine "jax"
    no_pictures: str = ""  # why it refuses vision; "" for methods that take it
    # raises BadInput where settings do not fit each other
    check: Callable[[RunSpec], None] = lambda spec: None
    # what a person should know before a run starts
    warnings: Callable[[RunSpec], list[str]] = lambda spec: []

    def config_type(self, obs: str) -> type:
        """Of the agent's settings with an observation.

        Raises BadInput where what defines it is not installed.
        """
        try:
            return self.load_config_type(obs)
        except ValueError as error:
            raise BadInput(str(error)) from error

    def agent(self, config: Any, env: EnvSpec) -> Agent:
        """The agent, for the loop of this process.

        Raises BadInput for methods that train in a process of their own.
        """
        if self.make_agent is None:
            raise BadInput(
                f"{self.name} is OmniSafe's: it is trained and evaluated by `safedreamer "
                "train` and `evaluate`"
            )
        return self.make_agent(config, env)
