"""SafeDreamer at toy sizes on the shore, a task whose constrained optimum is known.

The point of `tests.fakes.shore.Shore` earns the distance it moves to the right and pays for each
step beyond x = 1. Unconstrained, the best return is 5 (20 strides of 0.25) at a cost of about 12 to
16 per episode; without cost it is the distance to the edge, 1 to 2.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import (
    ActorConfig,
    CriticConfig,
    ImaginationConfig,
    ModelConfig,
    SafeDreamerConfig,
)
from agents.safedreamer.planner_config import PlannerConfig
from agents.safedreamer.presets import with_method
from agents.settings import AugmentedConfig, OptimizerConfig, PIDConfig
from tests.fakes.toys import Judge, solve_shore

FAST = OptimizerConfig(1e-3, 1e-5, 100.0)
BASE = SafeDreamerConfig(
    cost_limit=1.0,
    model=ModelConfig(
        deter=48,
        stoch=8,
        classes=8,
        units=48,
        head_units=48,
        head_layers=1,
        vector_units=48,
        vector_layers=1,
        bins=31,
        vector_scale=10.0,
        vector_target="symlog",
        cost_weight=2.0,
        optimizer=OptimizerConfig(2e-3, 1e-8, 1000.0),
    ),
    actor=ActorConfig(entropy_scale=1e-3, optimizer=FAST),
    critic=CriticConfig(optimizer=FAST),
    imagination=ImaginationConfig(horizon=8, discount_horizon=20.0, starts=64),
    planner=PlannerConfig(
        horizon=6, candidates=48, elites=6, iterations=3, actor_fraction=0.25, cost_scale="exact"
    ),
    augmented=AugmentedConfig(penalty_init=1e-4),
    pid=PIDConfig(cost_ema=0.9, max_multiplier=2.0, start_agent_steps=400),
)


def solve(method: str, out: Path, judge: Judge, steps: int = 4000, **changes: Any) -> None:
    """`solve_shore` with changed settings."""
    config = dataclasses.replace(with_method(BASE, method), **changes)
    solve_shore(out, method, config, SafeDreamer, judge, steps)
