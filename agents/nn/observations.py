"""Splits an observation into images and vectors, and joins all arrays of a kind into one."""

from __future__ import annotations

import dataclasses
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


def vector_of(obs: Mapping[str, jax.Array], vectors: Iterable[str]) -> jax.Array:
    """[..., width]: symlog of all vectors, concatenated."""
    return symlog(jnp.concatenate([obs[name].astype(jnp.float32) for name in vectors], -1))


@dataclasses.dataclass(frozen=True)
class Seen:
    """The arrays of an observation that an agent uses, joined as its inputs and targets."""

    images: tuple[str, ...]
    vectors: tuple[str, ...]
    channels: int
    """Channels of all images together."""
    width: int
    """Entries of all vectors together."""

    @staticmethod
    def of(obs: ObsSpec, all_images: bool = True) -> Seen:
        """All vectors, and all images or only the first.

        Raises ValueError for arrays of unsupported shapes.
        """
        check_obs(obs)
        images, vectors = image_keys(obs)[: None if all_images else 1], vector_keys(obs)
        channels = sum(obs[k].shape[-1] for k in images)
        return Seen(images, vectors, channels, sum(obs[k].shape[0] for k in vectors))

    def picture(self, obs: Mapping[str, jax.Array]) -> jax.Array:
        """[..., 64, 64, channels] in 0..1: the channels of all images concatenated."""
        return jnp.concatenate([obs[k] for k in self.images], -1).astype(jnp.float32) / 255.0

    def vector(self, obs: Mapping[str, jax.Array]) -> jax.Array:
        """[..., width]: symlog of all vectors, concatenated."""
        return vector_of(obs, self.vectors)
