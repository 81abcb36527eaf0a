"""What this package asks of environments.

Imports neither torch nor OmniSafe, so that any process can offer them.

Shapes: E environments; D observation, A action dimensions. A picture is a uint8 vector of H * W * C
values.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Rows(NamedTuple):
    """One step of all environments."""

    obs: np.ndarray  # float32 or uint8 [E, D], the last one of an episode where it ended
    reward: np.ndarray  # float32 [E]
    cost: np.ndarray  # float32 [E]
    terminated: np.ndarray  # bool [E]
    truncated: np.ndarray  # bool [E]


class Envs(Protocol):
    """Environments as this package needs them.

    Whoever hands them in seeds, counts and records their episodes.
    """

    num_envs: int
    obs_dim: int
    action_dim: int
    # height, width and channels (those of all cameras) where observations are pictures
    frame: tuple[int, int, int] | None
    episode_steps: int  # actions of a full episode
    fresh: np.ndarray  # bool [E], in an episode in which nothing was done yet

    def begin(self, which: np.ndarray, ended: bool) -> np.ndarray:
        """Start the next episode where marked [E]; returns where all stand, [E, D].

        `ended` says of episodes that still run whether the algorithm ended them (they count), or
        merely stopped looking.
        """
        ...

    def step(self, actions: np.ndarray) -> Rows:
        """Take actions [E, A]."""
        ...

    def observation(self) -> np.ndarray:
        """Where all stand, [E, D]."""
        ...
