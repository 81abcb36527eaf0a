"""A task with images that needs no OpenGL, so that every machine can train on it.

`lock_tasks:pictures`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

EPISODE_ENV_STEPS = 40
STRIDE = 0.1  # distance moved by a full action
SIZE = 64  # pixels on a side


class Pictures(gymnasium.Env):
    """A point in the unit square, rendered as a bright patch.

    Moving to the right is rewarded; the upper half has a cost.
    """

    observation_space = Dict(
        {
            "camera": Box(0, 255, (SIZE, SIZE, 3), np.uint8),
            "position": Box(-1.0, 1.0, (2,), np.float32),
        }
    )
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.position = self.np_random.uniform(-1.0, 1.0, 2)
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        before = self.position
        self.position = np.clip(before + STRIDE * np.asarray(action, np.float64), -1.0, 1.0)
        cost = float(self.position[1] > 0.0)
        return self._observe(), float(self.position[0] - before[0]), False, False, {"cost": cost}

    def _observe(self) -> dict[str, np.ndarray]:
        camera = np.zeros((SIZE, SIZE, 3), np.uint8)
        column, row = ((self.position + 1.0) * (SIZE - 8) / 2).astype(int)
        camera[row : row + 8, column : column + 8] = (255, 128, 32)
        return {"camera": camera, "position": self.position.astype(np.float32)}


def pictures() -> gymnasium.Env:
    """Factory of the task."""
    return gymnasium.wrappers.TimeLimit(Pictures(), EPISODE_ENV_STEPS)
