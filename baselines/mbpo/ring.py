"""A ring buffer of rows on the device, written and read inside a jitted update.

Shapes: C rows of capacity; N rows to write.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.api import PyTree


class Ring(NamedTuple):
    """Rows [C, ...], of which `size` are held; `head` is the next slot to write."""

    rows: Any
    head: jax.Array
    size: jax.Array

    @property
    def capacity(self) -> int:
        return jax.tree.leaves(self.rows)[0].shape[0]


def empty(capacity: int, row: PyTree) -> Ring:
    """An empty ring; `row` gives the shapes and dtypes of a row."""
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), row)
    return Ring(rows, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def insert(ring: Ring, rows: PyTree, valid: jax.Array) -> Ring:
    """Insert the valid (bool [N]) rows of [N, ...], in order.

    N is at most the capacity, see `RolloutConfig`: more would overwrite each other.
    """
    capacity, valid = ring.capacity, valid.astype(bool)
    count = valid.sum(dtype=jnp.int32)
    places = (ring.head + jnp.cumsum(valid, dtype=jnp.int32) - 1) % capacity
    places = jnp.where(valid, places, capacity)  # out-of-bounds writes are dropped
    return Ring(
        jax.tree.map(lambda old, new: old.at[places].set(new, mode="drop"), ring.rows, rows),
        (ring.head + count) % capacity,
        jnp.minimum(ring.size + count, capacity),
    )


def draw(ring: Ring, key: jax.Array, shape: tuple[int, ...]) -> PyTree:
    """Draw rows [*shape, ...] uniformly with replacement; zeros from an empty ring."""
    index = jax.random.randint(key, shape, 0, jnp.maximum(ring.size, 1))
    return jax.tree.map(lambda x: x[index], ring.rows)
