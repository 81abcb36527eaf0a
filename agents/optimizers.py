"""The optimiser of every network: a clip of the global gradient norm, then Adam."""

from __future__ import annotations

import dataclasses

import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam with a global-norm clip before it."""

    learning_rate: float = 1e-4
    """Step size."""
    eps: float = 1e-8
    """Adam's denominator offset."""
    clip: float = 1000.0
    """Global gradient norm above which gradients are scaled down."""

    def __post_init__(self):
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate} must be positive")
        if not self.clip > 0:
            raise ValueError(f"clip={self.clip} must be positive")


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule | None = None
) -> optax.GradientTransformation:
    """Global-norm clip, then Adam; a schedule takes the place of the constant learning rate."""
    rate = config.learning_rate if schedule is None else schedule
    return optax.chain(optax.clip_by_global_norm(config.clip), optax.adam(rate, eps=config.eps))
