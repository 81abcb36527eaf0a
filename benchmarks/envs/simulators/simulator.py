"""Common interface of the simulators, one simulator step at a time.

Action repeat, action scaling and input checks are in `benchmarks.envs.make`. Observations are
computed only when needed: lidar only on steps whose observation is used, images only for
observation vision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from gymnasium.spaces import Box, Dict

from benchmarks.envs import custom


class View(NamedTuple):
    """Camera and image size, in pixels, of `render()`."""

    camera: str
    height: int
    width: int


class Simulator(Protocol):
    """One environment, with actions in the simulator's own bounds."""

    observation_space: Dict
    action_space: Box  # the simulator's own bounds
    episode_env_steps: int
    layout: Mapping[str, slice]
    costly: tuple[str, ...]  # names of cost sources; empty if there are none or they are unknown
    hazard_size: float  # metres within which a hazard costs; 0 without hazards

    def reset(self, seed: int | None) -> None:
        """Start an episode; the same seed gives the same episode in any process."""
        ...

    def step(self, action: np.ndarray, observe: bool) -> custom.Transition:
        """Take one simulator step.

        `observe()` returns its observation, but only after `observe=True` or an episode's end.
        """
        ...

    def observe(self) -> dict[str, np.ndarray]:
        """The observation after the last reset or step.

        Flat vectors in the simulator's own precision.
        """
        ...

    @property
    def heading(self) -> float:
        """Viewing direction of the robot's front camera, in radians to the left of its x axis.

        0 for robots without one. Available after a reset.
        """
        ...

    def render(self) -> np.ndarray:
        """An image [H, W, 3] uint8."""
        ...

    def close(self) -> None:
        """Free the simulator's resources."""
        ...


def flat_space(size: int) -> Dict:
    """The observation space of a flat vector."""
    return Dict({"observation": Box(-np.inf, np.inf, (size,), dtype=np.float32)})
