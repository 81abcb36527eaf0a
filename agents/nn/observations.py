"""Splits an observation into images and vectors, and joins all arrays of a kind into one.

Encoders and decoders are built from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp

from agents.api import ObsSpec
from agents.nn.distributions import symlog

IMAGE_SIDE = 64


def image_keys(obs: ObsSpec) -> tuple[str, ...]:
    """Names of image arrays, in the environment's order.

    The release concatenates them in this order, and checkpoints depend on it.
    """
    return tuple(name for name, spec in obs.items() if len(spec.shape) == 3)


def vector_keys(obs: ObsSpec) -> tuple[str, ...]:
    """Names of flat arrays, in the environment's order."""
    return tuple(name for name, spec in obs.items() if len(spec.shape) == 1)


def check_obs(obs: ObsSpec) -> None:
    """Raise ValueError unless every array is a 64x64 image or a vector."""
    for name, spec in obs.items():
        square = len(spec.shape) == 3 and spec.shape[:2] == (IMAGE_SIDE, IMAGE_SIDE)
        if not (square or len(spec.shape) == 1):
            fitting = f"({IMAGE_SIDE}, {IMAGE_SIDE}, channels) or (size,)"
            raise ValueError(
                f"observation {name!r} has shape {spec.shape}; use {fitting}"
                + (f", as --loop.resize {IMAGE_SIDE} makes it" if len(spec.shape) == 3 else "")
            )
    if not obs:
        raise ValueError("the environment offers no observation arrays")


def picture_of(obs: Mapping[str, jax.Array], images: Iterable[str]) -> jax.Array:
    """[..., 64, 64, channels] in 0..1: the channels of all images concatenated."""
    return jnp.concatenate([obs[name] for name in images], -1).astype(jnp.float32) / 255.0


def vector_of(obs: Mapping[str, jax.Array], vectors: Iterable[str]) -> jax.Array:
    """[..., width]: symlog of all vectors, concatenated."""
    return symlog(jnp.concatenate([obs[name].astype(jnp.float32) for name in vectors], -1))
