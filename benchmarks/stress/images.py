"""Perturbed images: noise, blur, occlusion, brightness, glare, colour shift.

docs/concepts/stress/images.md

Noise, blur and brightness are computed as in the common corruptions (Hendrycks and Dietterich 2019,
arXiv:1903.12261); strengths are their parameters, for images in 0..1. Values drawn for an episode
are the same for every camera.

Shapes: images [H, W, 3] uint8.
"""

from __future__ import annotations

import numpy as np

from benchmarks.stress.wrapped import Perturbed, images


class _Pictures(Perturbed):
    """Perturbs every image of an observation."""

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return obs | {
            name: np.rint(255.0 * np.clip(self.seen(value / 255.0), 0.0, 1.0)).astype(np.uint8)
            for name, value in images(obs).items()
        }

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """The perturbed image, given one in 0..1; clipped afterwards."""
        raise NotImplementedError


class Noise(_Pictures):
    """Gaussian noise on every value at every step; strength: its standard deviation, in 0..1."""

    def seen(self, picture: np.ndarray) -> np.ndarray:
        return picture + self.strength * self.rng.normal(size=picture.shape)


class Blur(_Pictures):
    """Gaussian blur with repeated borders; strength: its standard deviation in pixels."""

    def begin(self) -> None:
        reach = int(np.ceil(3.0 * self.strength))
        weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / self.strength))
        self._weights, self._reach = weights / weights.sum(), reach

    def seen(self, picture: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            pad = [(self._reach, self._reach) if i == axis else (0, 0) for i in range(3)]
            windows = np.lib.stride_tricks.sliding_window_view(
                np.pad(picture, pad, mode="edge"), len(self._weights), axis
            )
            picture = windows @ self._weights
        return picture


class Occlusion(_Pictures):
    """A black square, fixed for the episode; strength: its side as a share of the image's."""

    def begin(self) -> None:
        self._place = self.rng.random(2)

    def seen(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        side = (round(min(1.0, self.strength) * height), round(min(1.0, self.strength) * width))
        top, left = (int(p * (n - s + 1)) for p, n, s in zip(self._place, (height, width), side))
        picture = picture.copy()
        picture[top : top + side[0], left : left + side[1]] = 0.0
        return picture


class Brightness(_Pictures):
    """`strength`, in 0..1, added to the HSV value (largest channel) of every pixel; hue and
    saturation are unchanged.
    """

    def seen(self, picture: np.ndarray) -> np.ndarray:
        value = picture.max(-1, keepdims=True)
        brighter = np.minimum(1.0, value + self.strength)
        return np.where(value > 0, picture * brighter / np.maximum(value, 1e-6), brighter)


class Glare(_Pictures):
    """A white disc with a soft edge, at a position drawn for the episode; strength: its radius as a
    share of the image's side.
    """

    def begin(self) -> None:
        self._place = self.rng.random(2)

    def seen(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        rows, columns = np.mgrid[0:height, 0:width]
        centre = self._place * (height, width)
        distance = np.hypot((rows - centre[0]) / height, (columns - centre[1]) / width)
        light = np.clip(2.0 - distance / self.strength, 0.0, 1.0)[..., None]
        return light + (1.0 - light) * picture


class Colour(_Pictures):
    """Each channel times a factor drawn for the episode from 1 - strength to 1 + strength."""

    def begin(self) -> None:
        self._gains = 1.0 + self.strength * self.rng.uniform(-1.0, 1.0, 3)

    def seen(self, picture: np.ndarray) -> np.ndarray:
        return picture * self._gains
