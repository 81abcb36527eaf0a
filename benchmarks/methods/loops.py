"""Loops and replays shared by methods.

Under one preset, methods differ in the cost of an update and in the data it learns from.
"""

from __future__ import annotations

from benchmarks.runs.spec import LoopConfig, ReplayConfig

# The same action repeat, prefill and evaluations for all methods, so that they are compared at
# equal simulator steps. Four times the prefill only delayed learning by as much
# (docs/decisions/learning.md).
CPU = LoopConfig(
    num_envs=4,
    action_repeat=5,
    prefill=2000,
    train_ratio=64.0,
    batch_size=16,
    batch_length=32,
    eval_every=5000,
    eval_episodes=10,
    log_every=1000,
    checkpoint_every=5000,
)
DEBUG = LoopConfig(
    num_envs=2,
    action_repeat=2,
    prefill=64,
    train_ratio=16.0,
    batch_size=4,
    batch_length=16,
    eval_every=400,
    eval_episodes=1,
    log_every=100,
    checkpoint_every=400,
)
# preset -> simulator steps, loop, replay
SHARED = {
    "cpu": (2_000_000, CPU, ReplayConfig(capacity=500_000)),
    "debug": (3000, DEBUG, ReplayConfig(capacity=4000)),
}
