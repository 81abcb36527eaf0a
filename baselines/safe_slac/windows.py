"""Windows of transitions from a replay batch, with masks of the valid ones.

Shapes: B windows; T frames, thus T - 1 transitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Windows(NamedTuple):
    """Observations, actions [B, T, A] and episode starts [B, T].

    Rewards, costs, terminations and weights of transitions [B, T-1].

    `weight` [B, T-1] is 0 for transitions across episodes; `kept` [B] is 0 for windows excluded
    from all losses.
    """

    obs: dict[str, jax.Array]
    action: jax.Array
    is_first: jax.Array
    reward: jax.Array
    cost: jax.Array
    terminal: jax.Array
    weight: jax.Array
    kept: jax.Array


def make_windows(batch: Mapping[str, jax.Array], names: tuple[str, ...], whole: bool) -> Windows:
    """Windows of a replay batch [B, T, ...], in which reward, cost and termination are in the row
    at which a transition arrives.

    With `whole`, windows that cross the end of an episode are not kept, as in the release, whose
    replay holds none.
    """
    crossing = batch["is_first"][:, 1:]
    kept = jnp.ones(crossing.shape[0]) if not whole else 1.0 - crossing.any(1).astype(jnp.float32)
    return Windows(
        obs={name: batch[name] for name in names},
        action=batch["action"],
        is_first=batch["is_first"].at[:, 0].set(True),
        reward=batch["reward"][:, 1:],
        cost=batch["cost"][:, 1:],
        terminal=batch["is_terminal"][:, 1:].astype(jnp.float32),
        weight=kept[:, None] * (1.0 - crossing.astype(jnp.float32)),
        kept=kept,
    )
