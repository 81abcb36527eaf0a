"""Diagonal Gaussians, plain and squashed by tanh, as functions of mean and standard deviation.

Shapes: `...` batch axes; Z size of a variable; A action dimensions. Log-probabilities and the KL
sum over the last axis.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

HALF_LOG_TAU = 0.9189385332046727  # log(2 pi) / 2


def normal_log_density(x: jax.Array, mean: jax.Array, std: jax.Array | float) -> jax.Array:
    """Log-density of N(mean, std^2) for each element."""
    return -0.5 * jnp.square((x - mean) / std) - jnp.log(std) - HALF_LOG_TAU


def normal_log_prob(x: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Log-density of N(mean, std^2), [..., Z] -> [...]."""
    return normal_log_density(x, mean, std).sum(-1)


def normal_kl(
    mean: jax.Array, std: jax.Array, other_mean: jax.Array, other_std: jax.Array
) -> jax.Array:
    """KL(N(mean, std^2) || N(other_mean, other_std^2)), [..., Z] -> [...].

    log(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2, summed.
    """
    spread = (jnp.square(std) + jnp.square(mean - other_mean)) / (2.0 * jnp.square(other_std))
    return (jnp.log(other_std / std) + spread - 0.5).sum(-1)


def tanh_log_slope(x: jax.Array) -> jax.Array:
    """log(1 - tanh(x)^2), elementwise, in a form that stays finite for large |x|."""
    return 2.0 * (jnp.log(2.0) - x - jax.nn.softplus(-2.0 * x))


def tanh_normal_log_prob(x: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Log-density of the action tanh(x) where x is N(mean, std^2), given x before squashing,
    [..., A] -> [...].
    """
    return normal_log_prob(x, mean, std) - tanh_log_slope(x).sum(-1)
