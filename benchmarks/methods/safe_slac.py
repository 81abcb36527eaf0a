"""Safe SLAC: loop and replay under each preset, and a check of its settings.

Sizes of the agent: baselines.safe_slac.presets.

In the published protocol an agent step is two simulator steps: 30,000 random steps, then one update
per agent step, which trains the latent model on 32 windows of 11 frames, and actor and critics on
64 others. It makes updates in bursts of 100; here each follows its step.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.api import Agent, EnvSpec
from baselines.safe_slac.config import SafeSLACConfig
from baselines.safe_slac.presets import PRESETS
from benchmarks.methods.loops import CPU, DEBUG
from benchmarks.methods.method import Method, Settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import OBSERVATIONS, LoopConfig, ReplayConfig, RunSpec

_RELEASE = LoopConfig(
    num_envs=1,
    action_repeat=2,
    prefill=30_000,
    train_ratio=96.0 * 11,
    batch_size=96,
    batch_length=11,
    eval_every=12_500,
    eval_episodes=10,
)
_MATCHED = dataclasses.replace(_RELEASE, action_repeat=4, prefill=15_000)
# One update per 8 agent steps: with one per step, model and cost critic overfitted to the stored
# layouts.
_CPU = dataclasses.replace(CPU, train_ratio=80.0, batch_size=80, batch_length=8)
_DEBUG = dataclasses.replace(DEBUG, train_ratio=6.0, batch_size=6, batch_length=5)
_PRESETS = {
    "release": (2_000_000, _RELEASE, ReplayConfig(capacity=200_000)),
    "matched": (2_000_000, _MATCHED, ReplayConfig(capacity=200_000)),
    "cpu": (2_000_000, _CPU, ReplayConfig(capacity=500_000)),
    "debug": (3000, _DEBUG, ReplayConfig(capacity=4000)),
}


def _settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
    del obs, hazard_radius, task
    return Settings(*_PRESETS[preset], PRESETS[preset])


def _make(config: Any, env: EnvSpec) -> Agent:
    from baselines.safe_slac.agent import SafeSLAC

    return SafeSLAC(config, env)


def _check(spec: RunSpec) -> None:
    """Raise BadInput if a batch leaves no windows for actor and critics."""
    if spec.loop.batch_size <= spec.agent.latent.batch:
        raise BadInput(
            f"loop.batch_size={spec.loop.batch_size} must exceed "
            f"latent.batch={spec.agent.latent.batch}: the latent model trains on those "
            "windows, actor and critics on the rest"
        )


SAFE_SLAC = Method(
    name="safe_slac",
    family="safe_slac",
    kind="world model",
    summary="Safe SLAC: soft actor-critic on a learned latent, with a safety critic",
    constrains="mean episode cost, by a multiplier on the safety critic",
    paper="Hogewind et al. 2023, arXiv:2210.01801",
    observations=OBSERVATIONS,
    presets=tuple(_PRESETS),
    action_repeat=2,
    load_config_type=lambda obs: SafeSLACConfig,
    make_settings=_settings,
    make_agent=_make,
    check=_check,
)
