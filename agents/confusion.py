"""How well predicted costs tell costly steps from free ones: metrics of every world model."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cost_confusion(
    predicted: jax.Array, cost: jax.Array, counted: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Precision and recall of 'predicted cost above one half' for steps with any cost, and both
    means; [B, T] -> scalars.

    Only steps marked in `counted` [B, T] count; all, if not given. Precision and recall are 0 where
    a batch holds no predicted or no true cost.
    """
    counted = jnp.ones(cost.shape, bool) if counted is None else counted
    said, true = (predicted > 0.5) & counted, (cost > 0.0) & counted
    hits = (said & true).sum()
    return {
        "model/cost_precision": hits / jnp.maximum(1, said.sum()),
        "model/cost_recall": hits / jnp.maximum(1, true.sum()),
        "model/cost_predicted": predicted.mean(where=counted),
        "model/cost_true": cost.mean(where=counted),
    }
