"""Vector reconstruction in units of each value's own residual.

A running mean squared error per entry of a flat observation.

A squared error summed over raw entries belongs to the noisiest of them: contact accelerations err
by 5 where a lidar errs by 0.1, take nearly all of the loss, and are "explained" only by naming the
replayed sequence. Divided by its own mean squared error every entry weighs alike however noisy it
is. Ours, neither the release's nor DreamerV3's.

Shapes: V entries of one array; state and errors are dicts from the array's name to [V].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Residuals(NamedTuple):
    """Running mean squared errors [V] of each array, and the number of batches (int32 scalar) they
    are of.
    """

    mean_square: dict[str, jax.Array]
    batches: jax.Array


def init_residuals(widths: Mapping[str, int]) -> Residuals:
    """Zero batches; what the mean squares hold then is never read."""
    return Residuals(
        {name: jnp.zeros((width,)) for name, width in widths.items()}, jnp.zeros((), jnp.int32)
    )


def update_residuals(state: Residuals, errors: Mapping[str, jax.Array], decay: float) -> Residuals:
    """Mean squares after a batch of squared errors [..., V]; without gradients.

        m <- d m + (1 - d) mean(errors),    d = min(decay, n / (n + 1)) after n batches

    So the first batch is copied, and early ones are averaged.
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

    The floor bounds what is well predicted.
    """
    return {k: (e / jnp.maximum(floor, state.mean_square[k])).sum(-1) for k, e in errors.items()}
