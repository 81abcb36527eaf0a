"""Interface to the environments.

Imports neither torch nor OmniSafe, so that any process can implement it.

Shapes: E environments; D observation, A action dimensions. An image is a uint8 vector of H * W * C
values.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Rows(NamedTuple):
    """One step of all environments."""

    obs: np.ndarray  # float32 or uint8 [E, D]; the last of an episode where it ended
    reward: np.ndarray  # float32 [E]
    cost: np.ndarray  # float32 [E]
    terminated: np.ndarray  # bool [E]
    truncated: np.ndarray  # bool [E]


class Envs(Protocol):
    """Vectorised environments, as required by this package.

    Their owner seeds, counts and records the episodes.
    """

    num_envs: int
    obs_dim: int
    action_dim: int
    # height, width and channels (of all cameras together) if observations are images
    frame: tuple[int, int, int] | None
    episode_steps: int  # actions of a full episode
    fresh: np.ndarray  # bool [E], episode without a step so far

    def begin(self, which: np.ndarray, ended: bool) -> np.ndarray:
        """Start the next episode where marked [E]; returns all current observations [E, D].

        `ended`: whether the algorithm ended the running episodes, which then count, or merely
        abandoned them.
        """
        ...

    def step(self, actions: np.ndarray) -> Rows:
        """Take actions [E, A]."""
        ...

    def observation(self) -> np.ndarray:
        """All current observations [E, D]."""
        ...
