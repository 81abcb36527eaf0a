"""Safety-Gymnasium's velocity tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from benchmarks.envs import custom
from benchmarks.envs.compat import import_safety_gymnasium
from benchmarks.envs.simulators.simulator import View, flat_space
from benchmarks.tasks import Task


class Velocity:
    """A Gymnasium MuJoCo robot with a speed limit.

    The observation is the robot's own flat vector.
    """

    heading = 0.0

    def __init__(self, task: Task, view: View | None) -> None:
        options: dict[str, Any] = {}
        if view is not None:
            options = {
                "render_mode": "rgb_array",
                "camera_name": view.camera,
                "height": view.height,
                "width": view.width,
            }
        self._env: gymnasium.Env = import_safety_gymnasium().make(
            task.id, disable_env_checker=True, **options
        )
        shape = self._env.observation_space.shape
        assert shape is not None and isinstance(self._env.action_space, Box)
        self._last: Any = None
        self._info: dict[str, Any] = {}
        self.layout: Mapping[str, slice] = {}
        self.costly: tuple[str, ...] = ("velocity",)
        self.hazard_size = 0.0
        self.observation_space = flat_space(shape[0])
        self.action_space: Box = self._env.action_space
        limit = custom.episode_steps(self._env)
        assert limit is not None, f"{task.id} is registered without a time limit"
        self.episode_env_steps = limit

    def reset(self, seed: int | None) -> None:
        self._last, _ = self._env.reset(seed=seed)

    def step(self, action: np.ndarray, observe: bool) -> custom.Transition:
        result: Any = self._env.step(action)
        self._last, reward, cost, terminated, truncated, self._info = result
        return custom.Transition(
            None, float(reward), float(cost), bool(terminated), bool(truncated)
        )

    def observe(self) -> dict[str, np.ndarray]:
        return {"observation": np.asarray(self._last)}

    @property
    def speed(self) -> float:
        """Speed in the last step [m/s] as the cost measures it: along x only, or in the plane."""
        forward, sideways = self._info["x_velocity"], self._info.get("y_velocity")
        return float(forward if sideways is None else np.hypot(forward, sideways))

    @property
    def speed_limit(self) -> float:
        """Speed [m/s] above which a step costs."""
        robot: Any = self._env.unwrapped
        return robot._velocity_threshold

    @property
    def physics(self) -> tuple[Any, Any]:
        """MuJoCo's model and data, the same in every episode."""
        robot: Any = self._env.unwrapped
        return robot.model, robot.data

    def render(self) -> np.ndarray:
        return np.asarray(self._env.render())

    def close(self) -> None:
        self._env.close()
