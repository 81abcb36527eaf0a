"""Methods by name: what each is, the factory of its agent, and the settings of its presets.

`release` follows the authors' schedules (spec section 5), `cpu` fits two cores, `debug` runs in seconds. Sizes of the agents
themselves are theirs to know (agents.safedreamer.presets); here are the loop and the replay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from agents.api import Agent, EnvSpec
from agents.safedreamer import presets as safedreamer_presets
from agents.safedreamer.config import SafeDreamerConfig
from benchmarks.spec import OBSERVATIONS, PRESETS, LoopConfig, ReplayConfig, choose

Loop = tuple[LoopConfig, ReplayConfig]


@dataclasses.dataclass(frozen=True)
class Method:
    """A named way to train an agent. `make_config(obs, preset, hazard_radius)` gives the defaults of its agent."""

    name: str
    family: str
    summary: str
    observations: tuple[str, ...]
    config_type: type
    make_config: Callable[[str, str, float], Any]
    make_agent: Callable[[Any, EnvSpec], Agent]
    action_repeat: int  # of the release
    plans: bool  # acts by planning, so that an action costs about as much as an update


class Settings(NamedTuple):
    """Everything a preset decides."""

    steps: int  # simulator steps
    loop: LoopConfig
    replay: ReplayConfig
    agent: Any


_STEPS = {"release": 2_000_000, "cpu": 2_000_000, "debug": 3000}

_SAFEDREAMER = {  # name: (simulator steps per agent step in the release, summary)
    "dreamerv3": (2, "unsafe DreamerV3: the actor maximises reward"),
    "cem": (5, "unsafe planning: cross-entropy method on the sum of rewards"),
    "osrp": (5, "online safety-reward planning: constrained cross-entropy planner"),
    "osrp_lag": (4, "OSRP with a PID multiplier on the cost return"),
    "bsrp_lag": (4, "background safety-reward planning: actor with an augmented Lagrangian"),
}


def _make_safedreamer(config: SafeDreamerConfig, env: EnvSpec) -> Agent:
    from agents.safedreamer.agent import SafeDreamer  # compiles nothing, but imports flax and optax

    return SafeDreamer(config, env)


def _safedreamer(name: str) -> Method:
    repeat, summary = _SAFEDREAMER[name]
    return Method(
        name=name,
        family="safedreamer",
        summary=summary,
        observations=OBSERVATIONS,
        config_type=SafeDreamerConfig,
        make_config=lambda obs, preset, radius: safedreamer_presets.agent_config(name, obs, preset, radius),
        make_agent=_make_safedreamer,
        action_repeat=repeat,
        plans=safedreamer_presets.agent_config(name, "default", "release").act_with == "planner",
    )


METHODS: dict[str, Method] = {name: _safedreamer(name) for name in safedreamer_presets.METHODS}


def method(name: str) -> Method:
    """The method of that name. Raises BadInput with the nearest valid names."""
    return METHODS[choose("method", name, METHODS)]


def settings(name: str, obs: str, preset: str, hazard_radius: float = 0.2) -> Settings:
    """The defaults of a method with an observation under a preset. Raises BadInput for an unknown name of any of them.

    `hazard_radius` is the distance in metres within which hazards cost, 0 where something else costs too; if not given, that of the
    published coordinates tasks.
    """
    chosen = method(name)
    choose(f"observation of {name}", obs, chosen.observations)
    choose("preset", preset, PRESETS)
    loop, replay = {"release": _release, "cpu": _cpu, "debug": _debug}[preset](chosen)
    return Settings(_STEPS[preset], loop, replay, chosen.make_config(obs, preset, hazard_radius))


def _release(chosen: Method) -> Loop:
    return LoopConfig(action_repeat=chosen.action_repeat), ReplayConfig()  # all other defaults are the release's


def _cpu(chosen: Method) -> Loop:
    # One action repeat for all, so that they are compared at equal simulator steps; planners take fewer actions per update.
    loop = LoopConfig(
        num_envs=4,
        action_repeat=5,
        prefill=8000,
        train_ratio=128.0 if chosen.plans else 64.0,
        batch_size=16,
        batch_length=32,
        eval_every=20_000,
        eval_episodes=10,
        log_every=4000,
        checkpoint_every=20_000,
    )
    return loop, ReplayConfig(capacity=500_000)


def _debug(chosen: Method) -> Loop:
    loop = LoopConfig(
        num_envs=2,
        action_repeat=chosen.action_repeat,
        prefill=64,
        train_ratio=16.0,
        batch_size=4,
        batch_length=16,
        eval_every=400,
        eval_episodes=1,
        log_every=100,
        checkpoint_every=400,
    )
    return loop, ReplayConfig(capacity=4000)
