"""The optimiser of every network: a clip of the global gradient norm, then Adam."""

from __future__ import annotations

import optax

from agents.settings import OptimizerConfig


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule | None = None
) -> optax.GradientTransformation:
    """Global-norm clip, then Adam; a schedule takes the place of the constant learning rate."""
    rate = config.learning_rate if schedule is None else schedule
    return optax.chain(optax.clip_by_global_norm(config.clip), optax.adam(rate, eps=config.eps))
