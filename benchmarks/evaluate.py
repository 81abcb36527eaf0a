"""Evaluation: episodes of fixed seeds on environments of their own, with a policy carry of their own.

Nothing here returns a learner state, so evaluation cannot change training: it reads `state`, and its randomness comes from the
key and the episode seeds it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import gymnasium
import jax
import numpy as np

from agents.api import Agent, PyTree
from benchmarks.envs import VectorEnv

MAX_ENVS = 16  # environments at once; more episodes run in turns


class Episode(NamedTuple):
    """One finished episode: undiscounted sums, length in simulator steps."""

    episode: int
    return_: float
    cost: float
    length: int


class Tally:
    """Sums reward, cost and simulator steps of the episodes that E environments are in."""

    def __init__(self, num_envs: int) -> None:
        self._returns = np.zeros(num_envs, np.float64)
        self._costs = np.zeros(num_envs, np.float64)
        self._lengths = np.zeros(num_envs, np.int64)

    def add(
        self, reward: np.ndarray, cost: np.ndarray, env_steps: np.ndarray, is_last: np.ndarray, episode: np.ndarray
    ) -> list[Episode]:
        """Count one step of all environments ([E] each); returns the episodes that ended with it, in environment order."""
        self._returns += reward
        self._costs += cost
        self._lengths += env_steps
        finished = []
        for i in np.flatnonzero(is_last):
            finished.append(Episode(int(episode[i]), float(self._returns[i]), float(self._costs[i]), int(self._lengths[i])))
            self._returns[i] = self._costs[i] = self._lengths[i] = 0
        return finished


def run_episodes(
    agent: Agent,
    state: PyTree,
    make_env: Callable[[], gymnasium.Env],
    *,
    run_seed: int,
    episodes: int,
    key: jax.Array,
    workers: Literal["process", "inline"] = "process",
    on_episode: Callable[[Episode], None] | None = None,
) -> list[Episode]:
    """Episodes 0..episodes-1 of the split "eval" of `run_seed`, in order; `on_episode` hears of each as it finishes.

    Environment i of E runs episodes i, i + E, ...; those beyond the last are not counted.
    """
    num_envs = min(episodes, MAX_ENVS)
    done: dict[int, Episode] = {}
    carry = agent.init_carry(num_envs)
    tally = Tally(num_envs)
    with VectorEnv(make_env, num_envs, run_seed, "eval", workers) as envs:
        step = envs.reset()
        count = 0
        while len(done) < episodes:
            actions, carry, _ = agent.act(state, carry, step.obs, step.is_first, jax.random.fold_in(key, count), "eval")
            step = envs.step(np.asarray(actions))
            count += 1
            for finished in tally.add(step.reward, step.cost, step.env_steps, step.is_last, step.episode):
                if finished.episode < episodes:
                    done[finished.episode] = finished
                    if on_episode is not None:
                        on_episode(finished)
    return [done[i] for i in range(episodes)]


def mean_return_cost(episodes: list[Episode]) -> tuple[float, float]:
    """Mean return and mean cost of some episodes."""
    return float(np.mean([e.return_ for e in episodes])), float(np.mean([e.cost for e in episodes]))
