"""Tracks static hazards in the frame of a moving robot, from the robot's own motion.

Hazards do not move, so three numbers, the robot's planar motion, determine all their positions one
step later. The world model learns that motion (`WorldModel.motion_head`) and starts from observed
positions, instead of learning to transform every position and decoding them from its latent
state. Not in the release, whose geometric costs use decoded positions (`cost_source=geometry`).

Shapes: positions are flattened, [..., 2 * hazards], in metres in the robot's frame (x ahead, y to
the left); a motion [..., 3] is (dx, dy, turn): displacement in metres in the old frame, then the
turn in radians to the left.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.safedreamer.rssm import Latent

LIDAR_GAIN = 2.0  # per metre: 0.67 at a hazard's radius, 0.14 a metre away


class Belief(NamedTuple):
    """State carried by imagination.

    A latent and the tracked positions [..., 2 * hazards], of width 0 if none are tracked.
    """

    latent: Latent
    hazards: jax.Array

    @property
    def feat(self) -> jax.Array:
        """Features of the latent [..., F], the input of the heads."""
        return self.latent.feat


def untracked(latent: Latent) -> Belief:
    """A belief without tracked positions."""
    return Belief(latent, jnp.zeros((*latent.deter.shape[:-1], 0), jnp.float32))


def _xy(positions: jax.Array) -> jax.Array:
    return positions.reshape(*positions.shape[:-1], -1, 2)


def after_motion(positions: jax.Array, motion: jax.Array) -> jax.Array:
    """Positions after the robot's motion: p' = R(-turn) (p - (dx, dy))."""
    moved = _xy(positions) - motion[..., None, :2]
    cos, sin = jnp.cos(motion[..., 2:]), jnp.sin(motion[..., 2:])
    x, y = moved[..., 0], moved[..., 1]
    return jnp.stack([cos * x + sin * y, cos * y - sin * x], -1).reshape(positions.shape)


def tracking_error(predicted: jax.Array, observed: jax.Array) -> jax.Array:
    """Mean over hazards of the squared error relative to the squared distance, [..., 2 * hazards]
    -> [...].

    Relative, so that a turn weighs the same for near and far hazards; 0.5 m are added to the
    distance.
    """
    error = jnp.square(_xy(predicted) - _xy(observed)).sum(-1)
    return (error / (0.25 + jnp.square(_xy(observed)).sum(-1))).mean(-1)


def hazard_lidar(positions: jax.Array, bins: int) -> jax.Array:
    """Safety-Gym's exponential pseudo-lidar (Ray et al. 2019) of the nearest hazards,
    [..., 2 * hazards] -> [..., bins].

    exp(-gain * distance) of a hazard is split between the two bins next to its direction; each bin
    takes the maximum over hazards.
    """
    xy = _xy(positions)
    distance = jnp.sqrt(jnp.square(xy).sum(-1) + 1e-8)  # the norm has no gradient at 0
    angle = jnp.arctan2(xy[..., 1], xy[..., 0] + 1e-6)
    # in bins, to be wrapped into -bins/2..bins/2
    offset = angle[..., None] * (bins / (2.0 * jnp.pi)) - jnp.arange(bins)
    offset = offset - bins * jnp.round(offset / bins)
    share = jnp.maximum(0.0, 1.0 - jnp.abs(offset))
    return (share * jnp.exp(-LIDAR_GAIN * distance)[..., None]).max(-2)
