"""Perturbed actions: noise, delay, reduced gain, one weak side.

docs/concepts/stress/actuators.md

Actions are the policy's, in [-1, 1] per entry, one per agent step; perturbed actions are clipped
like the policy's own.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from benchmarks.stress.wrapped import Perturbed


class Noise(Perturbed):
    """Gaussian noise on every entry at every agent step; strength: its standard deviation."""

    def acted(self, action: np.ndarray) -> np.ndarray:
        return (action + self.strength * self.rng.normal(size=action.shape)).astype(np.float32)


class Delay(Perturbed):
    """The action from `strength` agent steps ago; zeros before the first."""

    whole = True

    def begin(self) -> None:
        length = int(self.strength) + 1
        zeros = np.zeros(self.base.action_space.shape or (), np.float32)
        self._past: deque[np.ndarray] = deque([zeros] * length, maxlen=length)

    def acted(self, action: np.ndarray) -> np.ndarray:
        self._past.append(action.copy())
        return self._past[0]


class Gain(Perturbed):
    """All actions clipped to [-1, 1], then multiplied by 1 - strength."""

    def acted(self, action: np.ndarray) -> np.ndarray:
        return (max(0.0, 1.0 - self.strength) * np.clip(action, -1.0, 1.0)).astype(np.float32)


class WeakSide(Perturbed):
    """Positive values of the last entry times 1 - strength: a Point turns less to its left, a Car's
    right wheel drives forwards with less torque.
    """

    def acted(self, action: np.ndarray) -> np.ndarray:
        action = np.clip(action, -1.0, 1.0)
        if action[-1] > 0:
            action[-1] *= max(0.0, 1.0 - self.strength)
        return action
