"""The optimiser of every network: global-norm gradient clipping, then Adam."""

from __future__ import annotations

import optax

from agents.settings import OptimizerConfig


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule | None = None
) -> optax.GradientTransformation:
    """Global-norm clipping, then Adam; a `schedule` replaces the constant learning rate."""
    rate = config.learning_rate if schedule is None else schedule
    return optax.chain(optax.clip_by_global_norm(config.clip), optax.adam(rate, eps=config.eps))
