"""Resizes images of a user's environment to the networks' input size by area averaging.

Shapes: H, W of the input image; S side of the output image; C channels.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from gymnasium.spaces import Box, Dict


class Resize:
    """Resizes every image [H, W, C] uint8 of an observation to [S, S, C]; vectors are unchanged."""

    def __init__(self, side: int) -> None:
        self._side = side

    def space(self, given: Dict) -> Dict:
        """The observation space after resizing. Raises ValueError if it has no image."""
        images = [key for key, part in given.spaces.items() if len(part.shape or ()) == 3]
        if not images:
            raise ValueError(
                f"loop.resize={self._side} resizes images, and the observations "
                f"{', '.join(given.spaces)} hold none: leave it out"
            )
        spaces = dict(given.spaces)
        for key in images:
            shape = spaces[key].shape
            assert shape is not None
            spaces[key] = Box(0, 255, (self._side, self._side, shape[2]), dtype=np.uint8)
        return Dict(spaces)

    def __call__(self, obs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The observation with its images resized."""
        return {
            key: resized(value, self._side) if value.ndim == 3 else value
            for key, value in obs.items()
        }


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """The image [H, W, C] uint8 as [S, S, C]: every new pixel is the mean of the area it covers."""
    height, width, _ = image.shape
    if (height, width) == (side, side):
        return image
    rows, columns = _weights(height, side), _weights(width, side)
    mean = np.einsum("sh,hwc,tw->stc", rows, image.astype(np.float32), columns, optimize=True)
    return np.clip(np.rint(mean), 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=8)
def _weights(old: int, new: int) -> np.ndarray:
    """Shares [new, old] of the old pixels in each new pixel; rows sum to 1."""
    edges = np.linspace(0.0, old, new + 1)
    pixels = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixels + 1.0) - np.maximum(edges[:-1, None], pixels)
    share = np.clip(overlap, 0.0, None)
    return (share / share.sum(1, keepdims=True)).astype(np.float32)
