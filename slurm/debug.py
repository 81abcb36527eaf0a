"""Executor that trains runs one after another in this process, for debugging or a first look.

Output goes to the terminal; Ctrl-C ends the sweep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.cli import main
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import attempts
from slurm.executor import Ended, Job, needless


class DebugExecutor:
    """Trains each job with `run`, which takes a run folder and returns an exit status."""

    poll_seconds = 0.5
    depends = False

    def __init__(
        self, run: Callable[[Path], int] = lambda folder: main(["run", str(folder), "--here"])
    ) -> None:
        self._run = run
        self._waiting: deque[Job] = deque()

    @property
    def outstanding(self) -> int:
        return len(self._waiting)

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self) -> list[Ended]:
        if not self._waiting:
            return []
        job = self._waiting.popleft()
        if ended := needless(job):
            return [ended]
        attempts.add(job.folder, "started", where="in process")
        status = self._run(job.folder)
        if status in (EXIT_STOPPED, 130):
            self._waiting.clear()
        return [Ended(job, status, f"exit status {status}")]

    def cancel(self, folders: Iterable[Path]) -> None:
        chosen = set(folders)
        self._waiting = deque(job for job in self._waiting if job.folder not in chosen)

    def close(self) -> list[Ended]:
        self._waiting.clear()
        return []
