"""SWAG: a Gaussian posterior over parameters from snapshots of training (Maddox et al.,
arXiv:1902.02476; docs/concepts/lambda.md#posterior-over-weights).

Pure functions of a pytree of parameters. Each tensor has a running mean m and variance v, and its
last K deviations from the mean; all tensors are sampled independently, as in the original (SWAG
shares e2 over them).

Shapes: K deviations; P samples; a tensor of shape [...] has deviations [K, ...] and samples
[P, ...].
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.api import PyTree
from baselines.lambda_.config import SwagConfig


class SwagState(NamedTuple):
    """Trees like the parameters; `deviations` have a leading axis of K, newest first.

    `snapshots` is the number taken so far, int32.
    """

    mean: PyTree
    variance: PyTree
    deviations: PyTree
    snapshots: jax.Array


def init_swag(config: SwagConfig, params: PyTree) -> SwagState:
    """State without snapshots."""
    mean, variance = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    deviations = jax.tree.map(lambda x: jnp.zeros((config.rank, *x.shape), x.dtype), params)
    return SwagState(mean, variance, deviations, jnp.zeros((), jnp.int32))


def triangular_rate(high: float, low: float, half_period: int) -> optax.Schedule:
    """Triangular schedule: learning rate of update s.

    `high` at 0, linear down to `low` at `half_period` and up again, repeatedly.

    cycle = floor(1 + s / 2P);  x = |s / P - 2 cycle + 1|;  rate = high - (high - low) max(0, 1 - x)
    """

    def rate(update: Any) -> jax.Array:
        update = jnp.asarray(update, jnp.float32)
        cycle = jnp.floor(1.0 + update / (2 * half_period))
        x = jnp.abs(update / half_period - 2.0 * cycle + 1.0)
        return high - (high - low) * jnp.maximum(0.0, 1.0 - x)

    return rate


def take_snapshot(
    config: SwagConfig, state: SwagState, params: PyTree, *, biased: bool = False
) -> SwagState:
    """Update the posterior with a snapshot w.

        v <- v + (1 - decay) (decay (w - m)^2 - v);
        m <- decay m + (1 - decay) w;  deviation = w - m

    The first snapshot initialises the mean. `biased` is as published: the mean starts from zero and
    stays biased, and deviations are taken from a mean debiased with a counter that each tensor
    advances in turn (here all advance it at once).
    """
    first = (state.snapshots == 0) & (not biased)
    tensors = len(jax.tree.leaves(params))
    steps = tensors * (state.snapshots + 1).astype(jnp.float32)
    debias = 1.0 - config.decay**steps if biased else 1.0
    decay = config.decay

    old = jax.tree.map(lambda m, w: jnp.where(first, w, m), state.mean, params)
    variance = jax.tree.map(
        lambda v, m, w: v + (1 - decay) * (decay * jnp.square(w - m) - v),
        state.variance,
        old,
        params,
    )
    mean = jax.tree.map(lambda m, w: decay * m + (1 - decay) * w, old, params)
    deviations = jax.tree.map(
        lambda d, m, w: jnp.concatenate([(w - m / debias)[None], d[:-1]]),
        state.deviations,
        mean,
        params,
    )
    return SwagState(mean, variance, deviations, state.snapshots + 1)


def sample(config: SwagConfig, state: SwagState, key: jax.Array) -> PyTree:
    """Sample parameters from the posterior.

    M + sqrt(scale) (sqrt(v / 2) e1 + D^T e2 / sqrt(2 (K - 1))), e1 and e2 standard normal.
    """
    means, structure = jax.tree.flatten(state.mean)
    diagonal_key, low_rank_key = jax.random.split(key)
    # One call for all tensors: one call each would dominate the time to compile an update.
    flat = jax.random.normal(diagonal_key, (sum(m.size for m in means),))
    diagonal = jnp.split(flat, list(itertools.accumulate(m.size for m in means))[:-1])
    low_rank = jax.random.normal(low_rank_key, (len(means), config.rank))

    def draw(m, v, d, e1, e2):
        spread = jnp.sqrt(v / 2.0) * e1.reshape(m.shape) + jnp.tensordot(e2, d, 1) / math.sqrt(
            2.0 * (config.rank - 1)
        )
        return m + math.sqrt(config.scale) * spread

    leaves = zip(
        means,
        jax.tree.leaves(state.variance),
        jax.tree.leaves(state.deviations),
        diagonal,
        low_rank,
    )
    return jax.tree.unflatten(structure, [draw(*leaf) for leaf in leaves])


def follow(
    config: SwagConfig,
    state: SwagState,
    params: PyTree,
    updates: jax.Array,
    *,
    biased: bool = False,
) -> SwagState:
    """The posterior after model update number `updates` (from 0), whose result is `params`.

    Takes a snapshot every `config.period` updates from `config.start` on.
    """
    due = (updates >= config.start) & ((updates - config.start) % config.period == 0)
    return jax.lax.cond(
        due, lambda: take_snapshot(config, state, params, biased=biased), lambda: state
    )


def draw_models(
    config: SwagConfig, state: SwagState, params: PyTree, updates: jax.Array, key: jax.Array
) -> PyTree:
    """P parameters [P, ...] for imagination.

    Posterior samples once there are enough snapshots, copies of the current parameters until then.
    """

    def samples():
        return jax.vmap(lambda k: sample(config, state, k))(jax.random.split(key, config.samples))

    def copies():
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (config.samples, *x.shape)), params)

    return jax.lax.cond(updates >= config.warm_updates, samples, copies)
