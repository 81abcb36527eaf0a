"""Loop and replay of Safe SLAC under each preset, and what its settings must agree on. Sizes of the agent: baselines.safe_slac.presets.

The published protocol counts agent steps of two simulator steps: 30,000 at random, then one update an agent step, which trains the
latent model on 32 windows of 11 frames and actor and critics on 64 others. It makes them in bursts of 100; here each follows its step.
"""

from __future__ import annotations

import dataclasses

from benchmarks.spec import BadInput, LoopConfig, ReplayConfig, RunSpec

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
_CPU = LoopConfig(
    num_envs=4,
    action_repeat=5,
    prefill=8000,
    train_ratio=0.5 * 48 * 8,
    batch_size=48,
    batch_length=8,
    eval_every=20_000,
    eval_episodes=10,
    log_every=4000,
    checkpoint_every=20_000,
)
_DEBUG = LoopConfig(
    num_envs=2,
    action_repeat=2,
    prefill=64,
    train_ratio=6.0,
    batch_size=6,
    batch_length=5,
    eval_every=400,
    eval_episodes=1,
    log_every=100,
    checkpoint_every=400,
)


def settings(preset: str) -> tuple[int, LoopConfig, ReplayConfig]:
    """Simulator steps, loop and replay."""
    return {
        "release": (2_000_000, _RELEASE, ReplayConfig(capacity=200_000)),
        "matched": (2_000_000, _MATCHED, ReplayConfig(capacity=200_000)),
        "cpu": (2_000_000, _CPU, ReplayConfig(capacity=500_000)),
        "debug": (3000, _DEBUG, ReplayConfig(capacity=4000)),
    }[preset]


def check(spec: RunSpec) -> None:
    """Raise BadInput where a batch leaves actor and critics no window."""
    if spec.loop.batch_size <= spec.agent.latent.batch:
        raise BadInput(
            f"loop.batch_size={spec.loop.batch_size} must exceed agent.latent.batch={spec.agent.latent.batch}: "
            "the latent model trains on those windows, actor and critics on the rest"
        )
