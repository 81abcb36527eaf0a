"""Checks of numbers inside a jitted update."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.api import PyTree


def count_nonfinite(tree: PyTree) -> jax.Array:
    """Number of NaNs and infinities in all floating-point leaves, int32 scalar.

    Part of the update, so that nothing has to be fetched to know that it went wrong.
    """
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(x), jnp.floating)]
    return sum((jnp.sum(~jnp.isfinite(x), dtype=jnp.int32) for x in leaves), start=jnp.int32(0))
