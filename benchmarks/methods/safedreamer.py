"""SafeDreamer's variants, and the unsafe agents beside them.

Sizes of the agents: agents.safedreamer.presets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from agents.api import Agent, EnvSpec
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.presets import agent_config
from benchmarks.methods.loops import CPU, DEBUG
from benchmarks.methods.method import Method, Settings
from benchmarks.runs.spec import OBSERVATIONS, LoopConfig, ReplayConfig

Loop = tuple[LoopConfig, ReplayConfig]
_STEPS = {"release": 2_000_000, "cpu": 2_000_000, "debug": 3000}
_PAPER = "Huang et al. 2023, arXiv:2307.07176"

# name: (simulator steps per agent step in the release, acts by planning, summary, what it
# constrains, paper)
_SAFEDREAMER = {
    "osrp": (
        5,
        True,
        "online safety-reward planning: constrained cross-entropy planner",
        "predicted cost return of a plan",
        _PAPER,
    ),
    "osrp_lag": (
        4,
        True,
        "OSRP with a PID multiplier on the cost return",
        "predicted cost return of a plan, and mean episode cost by a PID-controlled multiplier",
        _PAPER,
    ),
    "bsrp_lag": (
        4,
        False,
        "background safety-reward planning: actor with an augmented Lagrangian",
        "imagined cost return, by an augmented Lagrangian",
        _PAPER,
    ),
    "dreamerv3": (
        2,
        False,
        "unsafe DreamerV3: the actor maximises reward",
        "nothing: maximises reward",
        "Hafner et al. 2023, arXiv:2301.04104",
    ),
    "cem": (
        5,
        True,
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
    repeat, plans, summary, constrains, paper = _SAFEDREAMER[name]

    def make_settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
        del task
        loops: dict[str, Callable[[int, bool], Loop]] = {
            "release": _release,
            "cpu": _cpu,
            "debug": _debug,
        }
        loop, replay = loops[preset](repeat, plans)
        return Settings(
            _STEPS[preset], loop, replay, agent_config(name, obs, preset, hazard_radius)
        )

    return Method(
        name=name,
        family="safedreamer",
        kind="world model",
        summary=summary,
        constrains=constrains,
        paper=paper,
        exact_resume=True,
        observations=OBSERVATIONS,
        presets=("release", "cpu", "debug"),
        engine="jax",
        action_repeat=repeat,
        load_config_type=lambda obs: SafeDreamerConfig,
        make_settings=make_settings,
        make_agent=_make_safedreamer,
    )


def _release(repeat: int, plans: bool) -> Loop:
    del plans
    return LoopConfig(action_repeat=repeat), ReplayConfig()  # all other defaults are the release's


def _cpu(repeat: int, plans: bool) -> Loop:
    # An eighth of an update per agent step costs 25 ms of one core, as much as planning an action;
    # five simulator steps cost 1 ms.
    del repeat, plans
    return CPU, ReplayConfig(capacity=500_000)


def _debug(repeat: int, plans: bool) -> Loop:
    del plans
    return dataclasses.replace(DEBUG, action_repeat=repeat), ReplayConfig(capacity=4000)


ALL = {name: _safedreamer(name) for name in _SAFEDREAMER}
