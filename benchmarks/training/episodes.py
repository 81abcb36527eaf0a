"""Finished episodes and their sums, for training and evaluation.

Needs neither JAX nor a simulator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from benchmarks.envs import Step

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
        self._sums = {
            "returns": np.zeros(num_envs, np.float64),
            "costs": np.zeros(num_envs, np.float64),
            "lengths": np.zeros(num_envs, np.int64),
        }

    def add(self, step: Step) -> list[Episode]:
        """Add one step of all environments, after dropping the episodes lost before it.

        Returns the episodes that ended with it, in environment order.
        """
        self.forget(step.lost)
        for sums, values in zip(
            self._sums.values(), (step.reward, step.cost, step.env_steps), strict=True
        ):
            sums += values
        return self.end(step.is_last, step.episode)

    def end(self, which: np.ndarray, episode: np.ndarray) -> list[Episode]:
        """End the running episodes marked in `which` [E]; `episode` [E] are their indices."""
        columns = (sums[which].tolist() for sums in (episode, *self._sums.values()))
        finished = list(map(Episode, *columns))
        self.forget(which)
        return finished

    def forget(self, which: np.ndarray) -> None:
        """Reset the sums of abandoned episodes, marked in `which` [E]."""
        for sums in self._sums.values():
            sums[which] = 0

    def snapshot(self) -> dict[str, np.ndarray]:
        """Sums so far, [E] each, for `restore`."""
        return {name: sums.copy() for name, sums in self._sums.items()}

    def restore(self, sums: Mapping[str, np.ndarray]) -> None:
        """Continue from a snapshot."""
        self._sums = {name: np.array(sums[name]) for name in self._sums}


def costly(episodes: Iterable[Episode]) -> int:
    """Number of episodes with any cost."""
    return sum(e.cost > 0 for e in episodes)


def mean_return_cost(episodes: Iterable[Episode]) -> tuple[float, float]:
    """Mean return and mean cost of the episodes."""
    returns, costs = zip(*((e.return_, e.cost) for e in episodes), strict=True)
    return float(np.mean(returns)), float(np.mean(costs))
