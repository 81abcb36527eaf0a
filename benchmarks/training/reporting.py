"""Reports of a run: episodes to its records, progress to terminal, status.json and boards."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runs import records
from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.status import State, StatusFile
from benchmarks.training.boards import Boards
from benchmarks.training.episodes import Episode, mean_return_cost
from benchmarks.training.progress import Reporter, Snapshot, Speed

RECENT_EPISODES = 10  # training episodes whose mean is shown
REPORT_SECONDS = 0.5


class Reports:
    """Collects and writes the reports of a run.

    Steps are those of the whole run, `seconds` its wall clock.
    """

    def __init__(
        self, spec: RunSpec, out: Path, reporter: Reporter, status: StatusFile, boards: Boards
    ) -> None:
        self._spec, self._reporter, self._status, self._boards = spec, reporter, status, boards
        self._max_seconds = math.inf if spec.max_minutes is None else 60.0 * spec.max_minutes
        self.records = records.RecordWriter(out / RECORDS_FILE)
        self.losses: dict[str, float] = {}
        self._recent: deque[Episode] = deque(maxlen=RECENT_EPISODES)
        self._evaluation: Sequence[Episode] = ()
        self.speed, self._told_at = Speed(), 0.0
        self.evaluation_seconds = 0.0  # of the last evaluation, compilation excluded

    def episode(
        self, split: str, episode: Episode, env_steps: int, agent_steps: int, seconds: float
    ) -> None:
        """Record a finished episode."""
        record = records.EpisodeRecord.of(
            self._spec, split, episode, env_steps, agent_steps, round(seconds, 2)
        )
        self.records.write(record)
        if split == records.TRAIN:
            self._recent.append(episode)
            values = {"train/return": episode.return_, "train/cost": episode.cost}
            self._boards.write(values, env_steps)

    def evaluated(self, episodes: Sequence[Episode], snapshot: Snapshot) -> None:
        """Report a finished evaluation in a permanent line."""
        self._evaluation = episodes
        mean_return, mean_cost = mean_return_cost(episodes)
        self._boards.write({"eval/return": mean_return, "eval/cost": mean_cost}, snapshot.env_steps)
        self._reporter.evaluated(snapshot._replace(evaluation=(mean_return, mean_cost)))

    def due(self, seconds: float) -> bool:
        """Whether the next report is due."""
        return seconds - self._told_at > REPORT_SECONDS

    def snapshot(self, env_steps: int, seconds: float, state: State) -> Snapshot:
        """Current progress of the run."""
        recent, last = (
            mean_return_cost(x) if x else None for x in (self._recent, self._evaluation)
        )
        speed = self.speed(seconds, env_steps)
        ahead = self._evaluations_ahead(env_steps) * self.evaluation_seconds
        return Snapshot(
            env_steps,
            self._spec.steps,
            seconds,
            speed,
            recent,
            last,
            self.losses,
            state,
            self._max_seconds,
            ahead,
        )

    def _evaluations_ahead(self, env_steps: int) -> int:
        loop, steps = self._spec.loop, self._spec.steps
        every = loop.eval_every * loop.action_repeat
        return -(-max(0, steps - env_steps) // every) if loop.eval_episodes else 0

    def tell(self, snapshot: Snapshot, updates: int) -> None:
        """Update reporter and status file.

        Raises LostOwnership if another process has taken over the folder.
        """
        self._told_at = snapshot.wall_seconds
        self._status.check()
        self._reporter.update(snapshot)
        self._status.update(**snapshot.status(), updates=updates)

    def close(self) -> None:
        self.records.close()
