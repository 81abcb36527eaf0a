"""SafeDreamer's variants and their unsafe counterparts.

Sizes of the agents: agents.safedreamer.presets.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.api import Agent, EnvSpec
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.presets import agent_config
from benchmarks.methods.loops import SHARED
from benchmarks.methods.method import Method, Settings
from benchmarks.runs.spec import OBSERVATIONS, LoopConfig, ReplayConfig

_PAPER = "Huang et al. 2023, arXiv:2307.07176"

# name: (simulator steps per agent step in the release, summary, what it constrains, paper)
_SAFEDREAMER = {
    "osrp": (
        5,
        "online safety-reward planning: constrained cross-entropy planner",
        "predicted cost return of a plan",
        _PAPER,
    ),
    "osrp_lag": (
        4,
        "OSRP with a PID multiplier on the cost return",
        "predicted cost return of a plan, and mean episode cost by a PID-controlled multiplier",
        _PAPER,
    ),
    "bsrp_lag": (
        4,
        "background safety-reward planning: actor with an augmented Lagrangian",
        "imagined cost return, by an augmented Lagrangian",
        _PAPER,
    ),
    "dreamerv3": (
        2,
        "unsafe DreamerV3: the actor maximises reward",
        "nothing: maximises reward",
        "Hafner et al. 2023, arXiv:2301.04104",
    ),
    "cem": (
        5,
        "unsafe planning: cross-entropy method on the sum of rewards",
        "nothing: maximises reward",
        _PAPER,
    ),
}


def _make_safedreamer(config: Any, env: EnvSpec) -> Agent:
    # compiles nothing, but imports JAX, flax and optax
    from agents.safedreamer.agent import SafeDreamer

    return SafeDreamer(config, env)


def _safedreamer(name: str) -> Method:
    repeat, summary, constrains, paper = _SAFEDREAMER[name]

    def make_settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
        del task
        agent = agent_config(name, obs, preset, hazard_radius)
        return Settings(*_loop(preset, repeat), agent)

    return Method(
        name=name,
        family="safedreamer",
        kind="world model",
        summary=summary,
        constrains=constrains,
        paper=paper,
        observations=OBSERVATIONS,
        presets=("release", "cpu", "debug"),
        action_repeat=repeat,
        load_config_type=lambda obs: SafeDreamerConfig,
        make_settings=make_settings,
        make_agent=_make_safedreamer,
    )


def _loop(preset: str, repeat: int) -> tuple[int, LoopConfig, ReplayConfig]:
    """Simulator steps, loop and replay."""
    if preset == "cpu":
        # An eighth of an update per agent step costs 25 ms of one core, as much as planning an
        # action; five simulator steps cost 1 ms.
        return SHARED["cpu"]
    if preset == "debug":
        steps, loop, replay = SHARED["debug"]
        return steps, dataclasses.replace(loop, action_repeat=repeat), replay
    # all other defaults are the release's
    return 2_000_000, LoopConfig(action_repeat=repeat), ReplayConfig()


ALL = {name: _safedreamer(name) for name in _SAFEDREAMER}
