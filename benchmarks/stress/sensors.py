"""Perturbed readings of flat observations: noise, bias, delay, dropped frames.

docs/concepts/stress/sensors.md

A flat observation consists of named parts (its layout). Lidar is in 0..1 and is perturbed in that
unit; every other part in units of its own root mean square over the episode so far, because their
units differ (metres, m/s, m/s²).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from benchmarks.envs.observations import LIDAR
from benchmarks.stress.wrapped import Perturbed, vectors


class _Scaled(Perturbed):
    """Adds `strength` times an offset, in units of each part."""

    def begin(self) -> None:
        self._squares: dict[str, float] = {}
        self._seen = 0
        self._offsets: dict[str, np.ndarray] = {}

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._seen += 1
        changed = {name: self._changed(name, value) for name, value in vectors(obs).items()}
        return obs | changed

    def _changed(self, name: str, value: np.ndarray) -> np.ndarray:
        new = value.astype(np.float64)
        offset = self.strength * self.offset(name, value.shape)
        for part, place in (self.layout or {name: slice(None)}).items():
            # Only Safety-Gymnasium's observations have a layout: what a user's environment calls
            # a lidar may be in metres.
            if self.layout and part.endswith(LIDAR):
                new[place] = np.clip(new[place] + offset[place], 0.0, 1.0)
            else:
                new[place] += self._size(part, value[place]) * offset[place]
        return new.astype(value.dtype)

    def _size(self, part: str, value: np.ndarray) -> float:
        """Root mean square of a part's undisturbed values in this episode up to this step."""
        mean = float(np.square(value, dtype=np.float64).mean()) if value.size else 0.0
        self._squares[part] = self._squares.get(part, 0.0) + mean
        return float(np.sqrt(self._squares[part] / self._seen))

    def offset(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The offset at strength 1."""
        raise NotImplementedError


class Noise(_Scaled):
    """Independent Gaussian noise on every entry at every step; strength: its standard deviation."""

    def offset(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.normal(size=shape)


class Bias(_Scaled):
    """A Gaussian offset, fixed for the episode; strength: its standard deviation."""

    def offset(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in self._offsets:
            self._offsets[name] = self.rng.normal(size=shape)
        return self._offsets[name]


class Delay(Perturbed):
    """The observation, images included, from `strength` agent steps ago; the first until then."""

    whole = True

    def begin(self) -> None:
        self._past: deque[dict[str, np.ndarray]] = deque(maxlen=int(self.strength) + 1)

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._past.append(obs)
        return self._past[0]


class Dropout(Perturbed):
    """Repeats the last shown observation with probability `strength`; the first always arrives."""

    def begin(self) -> None:
        self._shown: dict[str, np.ndarray] | None = None

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        dropped = self.rng.random() < self.strength
        if self._shown is None or not dropped:
            self._shown = obs
        return self._shown
