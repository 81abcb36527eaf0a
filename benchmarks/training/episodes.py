"""Finished episodes and their sums, for training and evaluation.

Needs neither JAX nor a simulator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

MAX_ENVS = 16  # parallel environments of an evaluation; further episodes run one after another
# first episode of the evaluation split whose layout neither training nor its evaluations use
UNSEEN_EPISODE = 1000


class Stopped(Exception):
    """Episodes were left unfinished because a stop was requested."""


class Episode(NamedTuple):
    """One finished episode: undiscounted sums, length in simulator steps."""

    episode: int
    return_: float
    cost: float
    length: int


class Tally:
    """Sums reward, cost and simulator steps of the running episodes of E environments."""

    def __init__(self, num_envs: int) -> None:
        self._returns = np.zeros(num_envs, np.float64)
        self._costs = np.zeros(num_envs, np.float64)
        self._lengths = np.zeros(num_envs, np.int64)

    def add(
        self,
        reward: np.ndarray,
        cost: np.ndarray,
        env_steps: np.ndarray,
        is_last: np.ndarray,
        episode: np.ndarray,
    ) -> list[Episode]:
        """Add one step of all environments ([E] each).

        Returns the episodes that ended with it, in environment order.
        """
        self._returns += reward
        self._costs += cost
        self._lengths += env_steps
        finished = []
        for i in np.flatnonzero(is_last):
            finished.append(
                Episode(
                    int(episode[i]),
                    float(self._returns[i]),
                    float(self._costs[i]),
                    int(self._lengths[i]),
                )
            )
            self._returns[i] = self._costs[i] = self._lengths[i] = 0
        return finished

    def forget(self, lost: np.ndarray) -> None:
        """Reset the sums of abandoned episodes [E]."""
        for sums in (self._returns, self._costs, self._lengths):
            sums[lost] = 0

    def snapshot(self) -> dict[str, np.ndarray]:
        """Sums so far, [E] each, for `restore`."""
        return {
            "returns": self._returns.copy(),
            "costs": self._costs.copy(),
            "lengths": self._lengths.copy(),
        }

    def restore(self, sums: Mapping[str, np.ndarray]) -> None:
        """Continue from a snapshot."""
        self._returns, self._costs, self._lengths = (
            np.array(sums[name]) for name in ("returns", "costs", "lengths")
        )


def costly(episodes: Iterable[Episode]) -> int:
    """Number of episodes with any cost."""
    return sum(e.cost > 0 for e in episodes)


def mean_return_cost(episodes: Iterable[Episode]) -> tuple[float, float]:
    """Mean return and mean cost of the episodes."""
    returns, costs = zip(*((e.return_, e.cost) for e in episodes), strict=True)
    return float(np.mean(returns)), float(np.mean(costs))
