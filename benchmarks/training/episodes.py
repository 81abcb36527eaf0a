"""Finished episodes and their sums, for training and evaluation.

Needs neither JAX nor a simulator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def mean_return_cost(episodes: Iterable[Episode]) -> tuple[float, float]:
    """Mean return and mean cost of the episodes."""
    returns, costs = zip(*((e.return_, e.cost) for e in episodes), strict=True)
    return float(np.mean(returns)), float(np.mean(costs))


HEADER = f"{'episode':>8} {'return':>9} {'cost':>8} {'length':>7}"


def line(e: Episode) -> str:
    """An episode as a line of the table under HEADER."""
    return f"{e.episode:>8} {e.return_:>9.2f} {e.cost:>8.1f} {e.length:>7}"


def summary(done: Sequence[Episode], wanted: int) -> str:
    """The last lines of the table: means, and how many episodes had a cost or were lost."""
    mean_return, mean_cost = mean_return_cost(done)
    lines = [
        f"{'mean':>8} {mean_return:>9.2f} {mean_cost:>8.1f}",
        f"{sum(e.cost > 0 for e in done)} of {len(done)} episodes had any cost",
    ]
    if lost := wanted - len(done):
        lines.append(
            f"{lost} of {wanted} episodes lost with their environments; mean and records "
            f"have the other {len(done)}"
        )
    return "\n".join(lines)
