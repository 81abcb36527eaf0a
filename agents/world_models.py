"""Parts shared by the agents' world models: pre-training, starts of imagination and metrics of
predicted costs.

Shapes: B batch, T time, N starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


def check_context(context: int, length: int) -> None:
    """Raise ValueError unless windows of `length` rows hold a row to predict after `context`."""
    if not 1 <= context < length:
        raise ValueError(
            f"context={context} must lie in 1..{length - 1}, below the {length} rows of a window"
        )


def after_pretraining(
    pretrain_updates: int, state: Any, learn: Callable[[Any], tuple[Any, dict[str, jax.Array]]]
) -> tuple[Any, dict[str, jax.Array]]:
    """`learn(state)`, the next state and metrics; during pre-training `state`, and metrics of 0."""
    if not pretrain_updates:
        return learn(state)
    _, shapes = jax.eval_shape(learn, state)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    pretrained = state.updates >= pretrain_updates
    return jax.lax.cond(pretrained, learn, lambda state: (state, zeros), state)


def draw_starts(states: Tree, count: int, key: jax.Array) -> Tree:
    """Draw starts [N, ...] of imagination from states [B, T, ...]; gradients are stopped.

    Draws `count` without replacement; 0 takes all of them.
    """
    flat = jax.tree.map(
        lambda x: jax.lax.stop_gradient(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])), states
    )
    total = jax.tree.leaves(flat)[0].shape[0]
    if not 0 < count < total:
        return flat
    chosen = jax.random.choice(key, total, (count,), replace=False)
    return jax.tree.map(lambda x: x[chosen], flat)


def cost_confusion(
    predicted: jax.Array, cost: jax.Array, counted: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Precision and recall of 'predicted cost above one half' for steps with any cost, and the mean
    predicted and true costs; [B, T] -> scalars.

    Uses only the steps marked in `counted` [B, T]; all by default. Precision or recall is 0 if a
    batch has no predicted or no true cost.
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
