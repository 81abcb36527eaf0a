"""Which arrays of an observation are images and which are vectors.

What encoders and decoders are built for.
"""

from __future__ import annotations

from agents.api import ObsSpec

IMAGE_SIDE = 64


def image_keys(obs: ObsSpec) -> tuple[str, ...]:
    """Names of image arrays, in the environment's order, in which the release concatenates them.

    Checkpoints depend on it.
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
