"""What an environment is to the rest, one simulator step at a time.

Action repeat, action scaling and checks of the caller's input are in `benchmarks.envs.make`. What
is not asked for is not computed: lidar only on the step whose observation is wanted, images only
for observation vision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import benchmarks.envs.compat  # noqa: F401 (first: it prepares what Gymnasium imports)

# isort: split
import numpy as np
from gymnasium.spaces import Box, Dict

from benchmarks.envs import custom


class View(NamedTuple):
    """What `render()` shows: the name of a camera and the size of the picture in pixels."""

    camera: str
    height: int
    width: int


class Simulator(Protocol):
    """One environment, stepped in its own units."""

    observation_space: Dict
    action_space: Box  # the simulator's own bounds
    episode_env_steps: int
    layout: Mapping[str, slice]
    costly: tuple[str, ...]  # names of what costs; empty where nothing does or it is unknown
    hazard_size: float  # metres within which a hazard costs; 0 without hazards

    def reset(self, seed: int | None) -> None:
        """Start an episode; with the same seed the same one, in any process."""
        ...

    def step(self, action: np.ndarray, observe: bool) -> custom.Transition:
        """One simulator step; its observation is had from `observe()`, and only after
        `observe=True` or an episode's end.
        """
        ...

    def observe(self) -> dict[str, np.ndarray]:
        """The observation after the last reset or step.

        Flat vectors in the simulator's own precision.
        """
        ...

    @property
    def heading(self) -> float:
        """Where the robot's front camera looks, radians to the left of its x axis.

        0 for robots without one. Known after a reset.
        """
        ...

    def render(self) -> np.ndarray:
        """A picture [H, W, 3] uint8."""
        ...

    def close(self) -> None:
        """Free what the simulator holds."""
        ...


def flat_space(size: int) -> Dict:
    """The observation space of a flat vector."""
    return Dict({"observation": Box(-np.inf, np.inf, (size,), dtype=np.float32)})
