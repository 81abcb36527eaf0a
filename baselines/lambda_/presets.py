"""Named settings of LAMBDA.

release  the published sizes, cost limit and camera
matched  release with SafeDreamer's cameras and cost limit
cpu      for vectors, sized for an hour on two cores; trials: results/log_of_trials.md
debug    every size shrunk until a run takes seconds; learns nothing
"""

from __future__ import annotations

from agents.settings import AugmentedConfig, OptimizerConfig
from baselines.lambda_.config import (
    ActorConfig,
    CriticConfig,
    ImaginationConfig,
    LambdaConfig,
    ModelConfig,
    SwagConfig,
)

RELEASE = LambdaConfig(limit_scale="raw")
MATCHED = LambdaConfig(cost_limit=2.0, model=ModelConfig(cameras="all"))

_LEARNING = OptimizerConfig(1e-3, 1e-5, 100.0)
CPU = LambdaConfig(
    cost_limit=2.0,
    pretrain_updates=800,  # with a less trained model the actor soon stops moving
    model=ModelConfig(
        deter=128,
        stoch=32,
        head_units=96,
        cameras="all",
        conv_depth=16,
        vector_units=128,
        vector_layers=2,
        # near hazards determine costs, but symlog compresses their distances
        vector_scale=20.0,
        reward_scale=100.0,
        free_nats=1.0,
        # overestimated costs never fall below the limit, and the multiplier would rise forever
        cost_weight=1.0,
        optimizer=OptimizerConfig(1e-3, 1e-5, 100.0),
        low_rate=2e-4,
    ),
    swag=SwagConfig(start=1000, period=50, rank=10, samples=3),
    actor=ActorConfig(
        units=96, layers=2, init_std=1.0, min_std=0.3, max_std=1.5, optimizer=_LEARNING
    ),
    critic=CriticConfig(units=96, layers=2, optimizer=_LEARNING, cost_optimizer=_LEARNING),
    imagination=ImaginationConfig(starts=48, discount=0.98, cost_discount=0.95),
    augmented=AugmentedConfig(penalty_init=1e-6, penalty_growth=1e-4, penalty_max=2e-6),
)

DEBUG = LambdaConfig(
    cost_limit=2.0,
    pretrain_updates=2,
    model=ModelConfig(
        deter=16,
        stoch=4,
        head_units=16,
        head_layers=1,
        conv_depth=2,
        vector_units=16,
        vector_layers=1,
    ),
    swag=SwagConfig(start=4, period=2, rank=3, samples=2),
    actor=ActorConfig(units=16, layers=1, mode_samples=5),
    critic=CriticConfig(units=16, layers=1, slow_every=3),
    imagination=ImaginationConfig(horizon=4, starts=8),
)

PRESETS = {"release": RELEASE, "matched": MATCHED, "cpu": CPU, "debug": DEBUG}
