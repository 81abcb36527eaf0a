"""LAMBDA: loop and replay under each preset. Sizes of the agent: baselines.lambda_.presets.

The published code makes 100 updates every 1000 simulator steps; the loop spreads them evenly.
`matched` keeps the updates per simulator step at SafeDreamer's action repeat, and `cpu` is the loop
of SafeDreamer's `cpu`, for comparison at equal data.
"""

from __future__ import annotations

from typing import Any

from agents.api import Agent, EnvSpec
from baselines.lambda_.config import LambdaConfig
from baselines.lambda_.presets import PRESETS
from benchmarks.methods.loops import SHARED
from benchmarks.methods.method import Method, Settings
from benchmarks.runs.spec import OBSERVATIONS, LoopConfig, ReplayConfig

# published at half the steps of the others
SHORTER = ("SafetyPointGoal1-v0", "SafetyPointGoal2-v0", "SafetyCarGoal1-v0")
_BATCH_SIZE, _BATCH_LENGTH = 32, 50
_UPDATES_PER_ENV_STEP = 0.1


def _published(action_repeat: int) -> LoopConfig:
    """The published loop: the same in simulator steps for every action repeat."""
    return LoopConfig(
        action_repeat=action_repeat,
        prefill=5000 // action_repeat,
        train_ratio=_UPDATES_PER_ENV_STEP * action_repeat * _BATCH_SIZE * _BATCH_LENGTH,
        batch_size=_BATCH_SIZE,
        batch_length=_BATCH_LENGTH,
        eval_every=25_000 // action_repeat,
        eval_episodes=10,
    )


_PRESETS = {
    "release": (2_000_000, _published(2), ReplayConfig()),
    "matched": (2_000_000, _published(4), ReplayConfig()),
    **SHARED,
}


def _settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
    del obs, hazard_radius
    steps, loop, replay = _PRESETS[preset]
    if preset == "release" and task in SHORTER:
        steps //= 2
    return Settings(steps, loop, replay, PRESETS[preset])


def _make(config: Any, env: EnvSpec) -> Agent:
    from baselines.lambda_.agent import Lambda

    return Lambda(config, env)


LAMBDA = Method(
    name="lambda",
    family="lambda",
    kind="world model",
    summary="Bayesian world model: optimistic about reward, pessimistic about cost",
    constrains=(
        "imagined cost return of the most costly of several sampled models, by an augmented "
        "Lagrangian"
    ),
    paper="As et al. 2022, arXiv:2201.09802",
    observations=OBSERVATIONS,
    presets=tuple(_PRESETS),
    action_repeat=2,
    load_config_type=lambda obs: LambdaConfig,
    make_settings=_settings,
    make_agent=_make,
)
