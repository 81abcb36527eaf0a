"""Returns of imagined trajectories and the normaliser of their scale.

Shapes: H steps, N trajectories, time first.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


def lambda_return(reward: jax.Array, value: jax.Array, cont: jax.Array, lam: float) -> jax.Array:
    """λ-return, DreamerV2/V3 (arXiv:2301.04104v1, Eq. 7).

        R[t] = r[t] + c[t] * ((1 - lam) * v[t+1] + lam * R[t+1]),    R[H] = v[H]

    Args: reward [H, N], received on arriving at state t+1; value [H+1, N], last row bootstraps;
    cont [H, N], continuation of state t+1 with the discount included.
    Returns: [H, N].
    """
    chex.assert_equal_shape([reward, cont, value[:-1]])

    def backward(following, inputs):
        r, v_next, c = inputs
        ret = r + c * ((1.0 - lam) * v_next + lam * following)
        return ret, ret

    _, returns = jax.lax.scan(backward, value[-1], (reward, value[1:], cont), reverse=True)
    return returns


def discount_weights(cont: jax.Array, discount: float) -> jax.Array:
    """Weight of each imagined step: cumprod(discount * cont) / discount, [H+1, N] -> [H+1, N].

    The first row is cont[0].
    """
    return jnp.cumprod(discount * cont, 0) / discount


PERCENTILES = 5.0, 95.0  # whose distance is the scale of returns


class ReturnNormState(NamedTuple):
    """EMA of the low and high percentile of returns; scalars."""

    low: jax.Array
    high: jax.Array


def init_return_norm() -> ReturnNormState:
    """Initial state: both percentiles are zero and are not debiased."""
    return ReturnNormState(jnp.zeros(()), jnp.zeros(()))


def update_return_norm(
    state: ReturnNormState, returns: jax.Array, *, decay: float = 0.99
) -> ReturnNormState:
    """One EMA step towards the percentiles of `returns` (any shape).

    DreamerV3 (arXiv:2301.04104v1, Eq. 12).
    """
    returns = jax.lax.stop_gradient(returns)
    new_low, new_high = jnp.percentile(returns, jnp.array(PERCENTILES))
    return ReturnNormState(
        decay * state.low + (1 - decay) * new_low, decay * state.high + (1 - decay) * new_high
    )


def return_scale(state: ReturnNormState) -> jax.Array:
    """max(1, high - low): divisor of advantages; small returns are not amplified."""
    return jnp.maximum(1.0, state.high - state.low)
