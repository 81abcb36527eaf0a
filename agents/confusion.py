"""How well predicted costs tell costly steps from free ones: metrics of every world model."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cost_confusion(predicted: jax.Array, cost: jax.Array) -> dict[str, jax.Array]:
    """Precision and recall of 'predicted cost above one half' for steps with any cost, and both
    means; [B, T] -> scalars.

    Precision and recall are 0 where a batch holds no predicted or no true cost.
    """
    said, true = predicted > 0.5, cost > 0.0
    hits = (said & true).sum()
    return {
        "model/cost_precision": hits / jnp.maximum(1, said.sum()),
        "model/cost_recall": hits / jnp.maximum(1, true.sum()),
        "model/cost_predicted": predicted.mean(),
        "model/cost_true": cost.mean(),
    }
