"""Converts replay batches to transitions, and mixes real with imagined ones.

A state is the observation's `vector_of`, the input of all networks.

Shapes: B, T replay batch and sequence length; N = B (T - 1) transitions; Z size of a state.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from agents.api import ObsSpec
from agents.nn.observations import check_obs, image_keys, vector_keys, vector_of
from baselines.mbpo import ring
from baselines.mbpo.ring import Ring
from baselines.sac.update import Transitions


def used_keys(obs: ObsSpec) -> tuple[str, ...]:
    """Names of the vectors of an observation. Raises ValueError if it has images."""
    check_obs(obs)
    if pictures := image_keys(obs):
        raise ValueError(
            f"observation {', '.join(pictures)} is a picture: its model predicts the next "
            "observation itself, which is for vectors only"
        )
    return vector_keys(obs)


def real_transitions(batch: Mapping[str, jax.Array], names: tuple[str, ...]) -> Transitions:
    """The transitions [N, ...] of a replay batch [B, T, ...], in which reward, cost and termination
    are in the row at which a transition arrives.

    Time-major: the first B are of different sequences.

    Those from the last row of an episode to the first of the next have weight 0. Truncation by a
    time limit is not termination: the row at which it arrives is not terminal.
    """
    z = vector_of(batch, names)
    found = Transitions(
        z[:, :-1],
        batch["action"][:, :-1],
        z[:, 1:],
        batch["reward"][:, 1:],
        batch["cost"][:, 1:],
        batch["is_terminal"][:, 1:].astype(jnp.float32),
        1.0 - batch["is_first"][:, 1:].astype(jnp.float32),
    )
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), found)


def mix(real: Transitions, imagined: Ring, ratio: float, key: jax.Array) -> Transitions:
    """Mix N transitions [N, ...], as many as in `real`, with a share `ratio` of real ones.

    All are real while there are no imagined ones.
    """
    rows = real.weight.shape[0]
    drawn = ring.draw(imagined, key, (rows,))
    keep = (jnp.arange(rows) < round(ratio * rows)) | (imagined.size == 0)
    return jax.tree.map(
        lambda a, b: jnp.where(keep.reshape(-1, *[1] * (a.ndim - 1)), a, b), real, drawn
    )
