"""Small faulty environments, for use as the tasks `benchmarks.faults.envs:nan_reward` and
`benchmarks.faults.envs:raising`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.wrappers.time_limit import TimeLimit

EPISODE_ENV_STEPS = 50
GOOD_EPISODES = 8  # fault-free episodes of an environment before the first fault


class Drift(gymnasium.Env):
    """A point pushed by the action; positions beyond 1 cost.

    `fault` gives the reward in the middle of later episodes.
    """

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, fault: Callable[[], float]) -> None:
        self._fault, self._episodes = fault, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._position, self._steps = self.np_random.uniform(-1.0, 1.0, 2), 0
        self._episodes += 1
        return self._position.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._position = self._position + 0.1 * action
        self._steps += 1
        reward = float(action[0])
        if self._episodes > GOOD_EPISODES and self._steps == EPISODE_ENV_STEPS // 2:
            reward = self._fault()
        info = {"cost": float(self._position[0] > 1.0)}
        return self._position.astype(np.float32), reward, False, False, info


def nan_reward() -> gymnasium.Env:
    """An environment with a NaN reward in the faulty step."""
    return TimeLimit(Drift(lambda: float("nan")), EPISODE_ENV_STEPS)


def raising() -> gymnasium.Env:
    """An environment that raises in the faulty step, like a simulator that became unstable."""

    def fault() -> float:
        raise FloatingPointError("the simulation is unstable")

    return TimeLimit(Drift(fault), EPISODE_ENV_STEPS)
