"""Lagrange multiplier as the softplus of a raw value, driven by the real cost of training episodes
(arXiv:2210.01801, its code; docs/concepts/safe_slac.md#multiplier).

The release updates it after every agent step with the cost in excess of an even share of the limit;
here it is updated once per episode with the sum.
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
    max_excess: float = 0.0,
) -> jax.Array:
    """Gradient step on softplus(raw) / stop_gradient(softplus(raw)) * (limit - cost).

        raw <- raw + learning_rate * sigmoid(raw) / softplus(raw) * (cost - limit)

    A small multiplier grows exponentially, d log(multiplier) = learning_rate * (cost - limit); a
    large one grows by that divided by itself. `max_excess`, if not 0, bounds cost - limit.
    """
    excess = episode_cost - cost_limit
    if max_excess:
        excess = jnp.minimum(excess, max_excess)
    return raw + learning_rate * jax.nn.sigmoid(raw) / jax.nn.softplus(raw) * excess
