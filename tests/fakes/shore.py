"""A toy constrained environment for tests: a point on a shore.

Imports neither JAX nor a simulator.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

EPISODE_ENV_STEPS = 20
EDGE = 1.0  # every simulator step beyond it costs 1
STRIDE = 0.25  # distance moved by a full action


class Shore(gymnasium.Env):
    """A point in the plane is rewarded for moving to the right; beyond x = EDGE steps have a cost.

    The start position depends on the seed.

    The observation holds x, y and the number of simulator steps taken, so that a test can identify
    rows.
    """

    observation_space = Box(-np.inf, np.inf, (3,), np.float32)
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.position = self.np_random.uniform(-1.0, 0.0, 2)
        self.steps = 0
        return self._observe(), {"cost": 0.0}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        move = STRIDE * np.clip(action, -1.0, 1.0)
        self.position = self.position + move
        self.steps += 1
        cost = float(self.position[0] > EDGE)
        return (
            self._observe(),
            float(move[0]),
            False,
            self.steps >= EPISODE_ENV_STEPS,
            {"cost": cost},
        )

    def _observe(self) -> np.ndarray:
        return np.array([*self.position, self.steps], np.float32)


def shore() -> gymnasium.Env:
    """Factory of the task `tests.fakes.shore:shore`."""
    return gymnasium.wrappers.TimeLimit(Shore(), EPISODE_ENV_STEPS)
