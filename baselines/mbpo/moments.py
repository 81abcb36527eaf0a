"""Running statistics of rows: mean and variance to scale the ensemble's inputs and outputs, and the
observed range to bound its predictions.

Shapes: N rows of K entries.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

SMALLEST = 1e-6  # std below which an entry counts as constant and is not scaled


class Moments(NamedTuple):
    """Total weight of the rows, their mean [K] and sum of squared distances from it [K]."""

    total: jax.Array
    mean: jax.Array
    squares: jax.Array

    @property
    def _std(self) -> jax.Array:
        return jnp.sqrt(self.squares / jnp.maximum(self.total, 1.0))

    @property
    def varies(self) -> jax.Array:
        """Which entries [K] have varied."""
        return self._std > SMALLEST

    @property
    def std(self) -> jax.Array:
        """Standard deviation [K], 1 where an entry has not varied."""
        return jnp.where(self.varies, self._std, 1.0)

    def scale(self, rows: jax.Array) -> jax.Array:
        """(rows - mean) / std, [..., K]."""
        return (rows - self.mean) / self.std

    def unscale(self, rows: jax.Array) -> jax.Array:
        """Inverse of `scale` [..., K]; an entry that has not varied stays at its mean."""
        return self.mean + jnp.where(self.varies, self.std * rows, 0.0)

    def mean_of_varying(self, rows: jax.Array) -> jax.Array:
        """Mean [...] of rows [..., K] over the entries that have varied, 0 where none has."""
        weight = self.varies / jnp.maximum(self.varies.sum(), 1)
        return (rows * weight).sum(-1)


def fresh(size: int) -> Moments:
    """Moments of no rows."""
    return Moments(jnp.zeros(()), jnp.zeros(size), jnp.zeros(size))


def update(moments: Moments, rows: jax.Array, weight: jax.Array) -> Moments:
    """Add rows [N, K] of weight [N] (Chan, Golub and LeVeque 1979, pairwise)."""
    count = weight.sum()
    share = weight[:, None] / jnp.maximum(count, 1.0)
    mean = (share * rows).sum(0)
    squares = (weight[:, None] * jnp.square(rows - mean)).sum(0)
    total, delta = moments.total + count, mean - moments.mean
    new = count / jnp.maximum(total, 1.0)
    return Moments(
        total,
        moments.mean + new * delta,
        moments.squares + squares + moments.total * new * jnp.square(delta),
    )


class Range(NamedTuple):
    """Minimum and maximum [K] of the rows."""

    low: jax.Array
    high: jax.Array

    def clip(self, rows: jax.Array) -> jax.Array:
        """Clip rows [..., K] to the range; no change before any data."""
        return jnp.where(self.low <= self.high, jnp.clip(rows, self.low, self.high), rows)


def no_range(size: int) -> Range:
    """Range of no rows."""
    return Range(jnp.full(size, jnp.inf, jnp.float32), jnp.full(size, -jnp.inf, jnp.float32))


def widen(seen: Range, rows: jax.Array, weight: jax.Array) -> Range:
    """Extend the range to the rows [N, K] of positive weight [N]."""
    counts = weight[:, None] > 0
    return Range(
        jnp.minimum(seen.low, jnp.where(counts, rows, jnp.inf).min(0)),
        jnp.maximum(seen.high, jnp.where(counts, rows, -jnp.inf).max(0)),
    )
