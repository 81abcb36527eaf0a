"""Records evaluation episodes: every observed row, every action and the policy's info.

Videos are made afterwards by replaying the actions in a rendering environment, so that they cannot
change the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.envs import Step
from benchmarks.training.transitions import row


class EpisodeTrace(NamedTuple):
    """One episode: replay rows and `env_steps` [T+1, ...] (see
    `benchmarks.training.transitions.row`), and the policy's info [T].
    """

    episode: int
    rows: dict[str, np.ndarray]
    info: dict[str, np.ndarray]

    @property
    def returns(self) -> np.ndarray:
        """Return so far [T+1]."""
        return np.cumsum(self.rows["reward"], dtype=np.float64)

    @property
    def costs(self) -> np.ndarray:
        """Cost so far [T+1]."""
        return np.cumsum(self.rows["cost"], dtype=np.float64)

    @property
    def env_steps(self) -> np.ndarray:
        """Simulator steps so far [T+1]."""
        return np.cumsum(self.rows["env_steps"])


class Recorder:
    """Records `episodes` episodes of `benchmarks.training.evaluation.run_episodes` from `first` on,
    whichever environments run them.
    """

    def __init__(self, episodes: int, first: int = 0) -> None:
        kept = range(first, first + episodes)
        self._rows: dict[int, list[dict[str, np.ndarray]]] = {index: [] for index in kept}
        self._info: dict[int, list[dict[str, np.ndarray]]] = {index: [] for index in kept}

    def add(self, step: Step, actions: np.ndarray, info: Mapping[str, np.ndarray]) -> None:
        """Record one step of all environments, the actions [E, A] taken after it and the policy's
        info [E] on them.
        """
        rows = row(step, actions, truncation_is_terminal=False) | {"env_steps": step.env_steps}
        for i, episode in enumerate(step.episode.tolist()):
            if episode in self._rows:
                self._rows[episode].append({name: values[i] for name, values in rows.items()})
                if not step.is_last[i]:
                    self._info[episode].append(
                        {name: np.asarray(values)[i] for name, values in info.items()}
                    )

    def traces(self) -> list[EpisodeTrace]:
        """The finished episodes, in order, without those lost with their environment."""
        ended = [index for index, rows in self._rows.items() if rows and rows[-1]["is_last"]]
        return [
            EpisodeTrace(index, _stack(self._rows[index]), _stack(self._info[index]))
            for index in ended
        ]


def _stack(dicts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([d[name] for d in dicts]) for name in dicts[0]}
