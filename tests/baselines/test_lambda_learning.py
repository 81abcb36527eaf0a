"""LAMBDA solves the toy task of tests/safedreamer_shore.py.

It walks to the shore and stays out of the water; with a loose cost limit it walks on.
"""

from __future__ import annotations

import dataclasses
import functools

import pytest

from agents.settings import AugmentedConfig, OptimizerConfig
from baselines.lambda_.agent import Lambda
from baselines.lambda_.config import (
    ActorConfig,
    CriticConfig,
    ImaginationConfig,
    LambdaConfig,
    ModelConfig,
    SwagConfig,
)
from tests.fakes.toys import solve_shore, stops_at_the_edge, walks_into_the_water

pytestmark = pytest.mark.slow
FAST = OptimizerConfig(1e-3, 1e-5, 100.0)
CONFIG = LambdaConfig(
    cost_limit=2.0,
    pretrain_updates=20,
    model=ModelConfig(
        deter=48,
        stoch=8,
        head_units=48,
        head_layers=1,
        vector_units=48,
        vector_layers=1,
        vector_scale=20.0,
        reward_scale=20.0,
        free_nats=1.0,
        cost_weight=2.0,
        optimizer=OptimizerConfig(2e-3, 1e-5, 100.0),
        low_rate=5e-4,
    ),
    swag=SwagConfig(start=500, period=50, rank=10, samples=3),
    actor=ActorConfig(
        units=48, layers=2, init_std=1.0, min_std=0.1, max_std=1.5, mean_scale=2.0, optimizer=FAST
    ),
    critic=CriticConfig(units=48, layers=2, slow_every=5, optimizer=FAST, cost_optimizer=FAST),
    # A step to the right earns reward but lowers the value of the next state: the longer the
    # horizon, the smaller the net effect of a step.
    imagination=ImaginationConfig(horizon=8, starts=64, discount=0.8, cost_discount=0.9),
    augmented=AugmentedConfig(multiplier_init=0.1, penalty_init=1e-4),
)


def test_it_stops_at_the_edge(tmp_path):
    judge = functools.partial(stops_at_the_edge, limit=CONFIG.cost_limit)
    solve_shore(tmp_path, "lambda", CONFIG, Lambda, judge, steps=4000)


def test_with_a_limit_beyond_reach_it_walks_into_the_water(tmp_path):
    config = dataclasses.replace(CONFIG, cost_limit=1000.0)
    solve_shore(tmp_path, "lambda", config, Lambda, walks_into_the_water, steps=1000)
