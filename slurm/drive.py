"""Sees the jobs of a sweep through: starts again what crashed, up to a limit and ever later; gives up what cannot work.

All it decides by is in the run folders, so that it may die at any time and the next sweep command goes on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.signals import EXIT_STOPPED
from benchmarks.sweep import attempts
from benchmarks.sweep.logs import tail
from benchmarks.sweep.members import LOG_FILE, member
from slurm.executor import Ended, Executor, Job

FAILED, BAD_INPUT = 1, 2  # exit statuses of the command line; after bad input the same again will not help
LOG_LINES = 15
POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often and how late a crashed run is started again."""

    limit: int = 2
    """Starts after the first, until the run is asked for again."""
    delay_seconds: float = 30.0
    """Before the first of them; each further one waits twice as long."""
    max_delay_seconds: float = 900.0
    """Longest wait."""

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        return min(self.max_delay_seconds, self.delay_seconds * 2 ** (failures - 1))


@dataclasses.dataclass
class Drive:
    """A sweep on its way. `stop` is asked between polls; `say` takes lines for a person."""

    executor: Executor
    retries: Retries
    stop: Callable[[], bool]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._jobs: dict[Path, Job] = {}
        self._later: list[tuple[float, Job]] = []
        self.failed: list[Path] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Until every job ended for good, or `stop`. `failed` then holds those that failed for good."""
        self._jobs = {job.folder: job for job in jobs}
        self.executor.submit(jobs)
        while self.executor.outstanding or self._later:
            self._drop_cancelled()
            for ended in self.executor.poll():
                self._settle(ended)
            due = [job for when, job in self._later if when <= self.clock()]
            self._later = [(when, job) for when, job in self._later if when > self.clock()]
            self.executor.submit(due)
            if self.stop():
                self._later.clear()
                for ended in self.executor.close():
                    self._settle(ended, closing=True)
                return
            if self.executor.outstanding or self._later:
                self.sleep(POLL_SECONDS)

    def _drop_cancelled(self) -> None:
        gone = [folder for folder in self._jobs if attempts.cancelled(attempts.read(folder))]
        if gone:
            self.executor.cancel(gone)
            self._later = [(when, job) for when, job in self._later if job.folder not in gone]
            for folder in gone:
                self.say(f"cancelled: {folder.name}")
                del self._jobs[folder]

    def _settle(self, ended: Ended, closing: bool = False) -> None:
        """What becomes of a job that the executor no longer has."""
        folder = ended.job.folder
        now = member(folder)
        taken = (
            ended.exit in (FAILED, BAD_INPUT) and now.standing == "running"
        )  # refused, because another process has the folder
        if ended.exit is None or taken:
            self.say(f"{now.standing} elsewhere: {folder.name}")
            self._jobs.pop(folder, None)
            return
        if attempts.cancelled(now.events):
            attempts.add(folder, "ended", exit=ended.exit)
            return
        failed = now.standing != "done" and ended.exit not in (0, EXIT_STOPPED)
        attempts.add(folder, "ended", exit=ended.exit, failed=failed, reason=ended.reason if failed else "")
        if not failed:
            word = "done" if now.standing == "done" else "stopped, the same command continues it"
            self.say(f"{word}: {folder.name} at {now.env_steps:,} steps")
            self._jobs.pop(folder, None)
            return
        self._failed(ended, closing)

    def _failed(self, ended: Ended, closing: bool) -> None:
        folder = ended.job.folder
        failures = attempts.failures(attempts.read(folder))
        reason = member(folder).reason()
        if ended.exit != BAD_INPUT and failures <= self.retries.limit:
            delay = self.retries.delay(failures)
            after = "the same command continues it" if closing else f"again in {delay:g} s"
            self.say(f"failed ({reason}), {failures} of {self.retries.limit + 1} starts, {after}: {folder.name}")
            if not closing:
                self._later.append((self.clock() + delay, ended.job))
            return
        self.failed.append(folder)
        self._jobs.pop(folder, None)
        lines = [f"    {line}" for line in tail(folder / LOG_FILE, LOG_LINES)]
        self.say("\n".join([f"failed for good after {failures} starts ({reason}): {folder.name}", *lines]))
