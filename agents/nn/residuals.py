"""Vector reconstruction errors relative to each entry's running mean squared error.

A squared error summed over raw entries is dominated by the noisiest: contact accelerations have
errors of 5 where a lidar has 0.1, make up nearly all of the loss, and can be explained only by
identifying the replayed sequence. Divided by its own mean squared error, every entry has the same
weight regardless of its noise. Ours, neither the release's nor DreamerV3's.

Shapes: V entries of one array; state and errors are dicts from the array's name to [V].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Residuals(NamedTuple):
    """Running mean squared errors [V] of each array, and the number of batches averaged (int32
    scalar).
    """

    mean_square: dict[str, jax.Array]
    batches: jax.Array


def init_residuals(widths: Mapping[str, int]) -> Residuals:
    """State before the first batch; its mean squares are never read."""
    return Residuals(
        {name: jnp.zeros((width,)) for name, width in widths.items()}, jnp.zeros((), jnp.int32)
    )


def update_residuals(state: Residuals, errors: Mapping[str, jax.Array], decay: float) -> Residuals:
    """Update the mean squares with a batch of squared errors [..., V]; gradients are stopped.

        m <- d m + (1 - d) mean(errors),    d = min(decay, n / (n + 1)) after n batches

    The first batch is copied and early ones are averaged uniformly.
    """
    n = state.batches.astype(jnp.float32)
    keep = jnp.minimum(decay, n / (n + 1.0))
    batch = {
        k: jax.lax.stop_gradient(e).reshape(-1, e.shape[-1]).mean(0) for k, e in errors.items()
    }
    return Residuals(
        {k: keep * state.mean_square[k] + (1.0 - keep) * batch[k] for k in batch}, state.batches + 1
    )


def relative_error(
    state: Residuals, errors: Mapping[str, jax.Array], floor: float
) -> dict[str, jax.Array]:
    """Sum over entries of errors / max(floor, mean square): [..., V] -> [...].

    `floor` bounds the weight of entries that are predicted well.
    """
    return {k: (e / jnp.maximum(floor, state.mean_square[k])).sum(-1) for k, e in errors.items()}
