"""Lagrange multiplier as the softplus of a raw value, moved by the real cost of training episodes
(arXiv:2210.01801, its code; docs/concepts/safe_slac.md#multiplier).

The release steps after every agent step by its cost over an even share of the limit; here one step
follows each episode, by the sum.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def init_raw(multiplier: float) -> jax.Array:
    """The raw value whose softplus is `multiplier`: log(exp(multiplier) - 1)."""
    return jnp.log(jnp.expm1(jnp.asarray(multiplier, jnp.float32)))


def update_raw(
    raw: jax.Array,
    episode_cost: jax.Array | float,
    cost_limit: float,
    learning_rate: jax.Array | float,
) -> jax.Array:
    """Gradient step on softplus(raw) / stop_gradient(softplus(raw)) * (limit - cost).

        raw <- raw + learning_rate * sigmoid(raw) / softplus(raw) * (cost - limit)

    A small multiplier grows exponentially, d log(multiplier) = learning_rate * (cost - limit); a
    large one by that over itself.
    """
    return raw + learning_rate * jax.nn.sigmoid(raw) / jax.nn.softplus(raw) * (
        episode_cost - cost_limit
    )
