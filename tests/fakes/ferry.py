"""A toy image environment for tests: reward and cost depend on what the images show.

A boat drifts across an image. Imports no simulator.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

EPISODE_ENV_STEPS = 16
SIZE = 16  # pixels
LIMIT = 2.0  # cost limit per episode


class Ferry(gymnasium.Env):
    """One camera shows a boat that drifts left or right.

    The other shows a light, green or red, that changes at random.

    Reward is the first action times the direction of the drift, which a single image does not
    reveal, plus 0.3 times the second action. A positive second action costs 1 while the light is
    red. A policy that ignores the images earns nothing with the first action.
    """

    observation_space = Dict(
        {name: Box(0, 255, (SIZE, SIZE, 3), np.uint8) for name in ("image", "image2")}
    )
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.boat = int(self.np_random.integers(SIZE))
        self.drift = int(self.np_random.choice([-1, 1]))
        self.red = bool(self.np_random.integers(2))
        return self._observe(), {"cost": 0.0}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        ahead, speed = np.clip(action, -1.0, 1.0)
        reward = self.drift * ahead + 0.3 * speed
        cost = float(self.red and speed > 0)
        self.boat = (self.boat + 2 * self.drift) % SIZE
        self.red = bool(self.np_random.integers(2))
        return self._observe(), float(reward), False, False, {"cost": cost}

    def _observe(self) -> dict[str, np.ndarray]:
        boat, light = np.zeros((2, SIZE, SIZE, 3), np.uint8)
        boat[4:12, [self.boat, (self.boat + 1) % SIZE]] = 255
        light[:, :, 0 if self.red else 1] = 255
        return {"image": boat, "image2": light}


def ferry() -> gymnasium.Env:
    """Factory of the task `tests.fakes.ferry:ferry`."""
    return gymnasium.wrappers.TimeLimit(Ferry(), EPISODE_ENV_STEPS)
