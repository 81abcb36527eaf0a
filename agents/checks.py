"""Numerical checks inside a jitted update."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.api import PyTree


def count_nonfinite(tree: PyTree) -> jax.Array:
    """Number of NaNs and infinities in all floating-point leaves, int32 scalar.

    Computed within the update, so that a failure is detected without fetching the parameters.
    """
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(x), jnp.floating)]
    return sum((jnp.sum(~jnp.isfinite(x), dtype=jnp.int32) for x in leaves), start=jnp.int32(0))
