"""From which states of a replayed batch imagination starts.

Shapes: B batch, T time, N starts.
"""

from __future__ import annotations

from typing import TypeVar

import jax

Tree = TypeVar("Tree")


def draw_starts(states: Tree, count: int, key: jax.Array) -> Tree:
    """States [B, T, ...] as starts [N, ...] without gradients.

    `count` drawn without replacement, or with 0 all of them.
    """
    flat = jax.tree.map(
        lambda x: jax.lax.stop_gradient(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])), states
    )
    total = jax.tree.leaves(flat)[0].shape[0]
    if not 0 < count < total:
        return flat
    chosen = jax.random.choice(key, total, (count,), replace=False)
    return jax.tree.map(lambda x: x[chosen], flat)
