"""Monitors the jobs of a sweep and retries crashes with back-off, up to a limit.

Gives up runs that cannot succeed.

All its decisions follow from the run folders, so it may be killed at any time and the next sweep
command continues.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.process.exits import BAD_INPUT, FAILED
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import attempts
from benchmarks.runs.reading import DamagedFile
from benchmarks.sweep.logs import tail
from benchmarks.sweep.members import LOG_FILE, member, where
from slurm.executor import Ended, Executor, Job

LOG_LINES = 15
STOP_SECONDS = 0.5  # between checks of `stop` while waiting for the next poll


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often, and after which delay, a crashed run is restarted."""

    limit: int = 2
    """Restarts of a crashed run, until the run is requested again."""
    delay_seconds: float = 30.0
    """Seconds before the first restart; doubled for each further one."""
    max_delay_seconds: float = 900.0
    """Longest delay, in seconds."""

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures."""
        return min(self.max_delay_seconds, self.delay_seconds * 2 ** (failures - 1))


@dataclasses.dataclass
class Drive:
    """A sweep in progress. `stop` is called between polls; `say` prints a line to the user."""

    executor: Executor
    retries: Retries
    stop: Callable[[], bool]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._jobs: dict[Path, Job] = {}
        self._later: list[tuple[float, Job]] = []
        self._held: list[Job] = []  # until their canary is done
        self.failed: list[Path] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Run the jobs until each has reached a final state, or until `stop` returns true.

        `failed` then holds the run folders that failed for good.
        """
        self._jobs = {job.folder: job for job in jobs}
        self._held = [job for job in jobs if job.after is not None and not self.executor.depends]
        self.executor.submit([job for job in jobs if job not in self._held])
        while self._open():
            self._release()
            self._drop_cancelled()
            for ended in self.executor.poll():
                self._settle(ended)
            due = [job for when, job in self._later if when <= self.clock()]
            self._later = [(when, job) for when, job in self._later if when > self.clock()]
            self.executor.submit(due)
            if self._wait():
                self._later.clear()
                for ended in self.executor.close():
                    self._settle(ended, closing=True)
                return

    def _open(self) -> bool:
        return bool(self.executor.outstanding or self._later or self._held)

    def _wait(self) -> bool:
        """Wait until the next poll; returns whether to stop."""
        until = self.clock() + self.executor.poll_seconds
        while not self.stop():
            if self.clock() >= until or not self._open():
                return False
            self.sleep(min(STOP_SECONDS, self.executor.poll_seconds))
        return True

    def _release(self) -> None:
        """Submit runs whose canary is done; give up those whose canary failed or was cancelled."""
        after = {job.after for job in self._held if job.after is not None}
        done = {folder for folder in after if where(folder) == "done"}
        lost = {folder for folder in after if folder not in self._jobs} - done
        for folder in lost:
            self.say(f"canary {folder.name} is not done: what comes after it is not started")
        ready = [job for job in self._held if job.after in done]
        self._held = [job for job in self._held if job.after not in done | lost]
        self.executor.submit(ready)

    def _drop_cancelled(self) -> None:
        gone = [folder for folder in self._jobs if attempts.is_cancelled(folder)]
        if gone:
            self.executor.cancel(gone)
            self._later = [(when, job) for when, job in self._later if job.folder not in gone]
            for folder in gone:
                self.say(f"cancelled: {folder.name}")
                del self._jobs[folder]

    def _settle(self, ended: Ended, closing: bool = False) -> None:
        """Handle a job that has left the executor: report, record and perhaps retry it."""
        folder = ended.job.folder
        try:
            now = member(folder)
        except DamagedFile as error:
            self._give_up(folder, f"left as it is ({error})")
            return
        # refused: another process trains this run folder
        taken = ended.exit in (FAILED, BAD_INPUT) and now.state == "running"
        if ended.exit is None or taken:
            self.say(f"{'running elsewhere' if taken else ended.reason}: {folder.name}")
            self._jobs.pop(folder, None)
            return
        cancelled = attempts.cancelled(now.events)
        failed = not cancelled and now.state != "done" and ended.exit not in (0, EXIT_STOPPED)
        if not ended.recorded:
            reason = ended.reason if failed else ""
            attempts.add(folder, "ended", exit=ended.exit, failed=failed, reason=reason)
        if cancelled:
            return
        if not failed:
            word = "done" if now.state == "done" else "stopped, the same command continues it"
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
            self.say(
                f"failed ({reason}), {failures} of {self.retries.limit + 1} starts, {after}: "
                f"{folder.name}"
            )
            if not closing:
                self._later.append((self.clock() + delay, ended.job))
            return
        self._give_up(folder, f"failed for good after {failures} starts ({reason})")

    def _give_up(self, folder: Path, why: str) -> None:
        self.failed.append(folder)
        self._jobs.pop(folder, None)
        try:
            lines = tail(folder / LOG_FILE, LOG_LINES)
        except DamagedFile as error:
            lines = [str(error)]
        self.say("\n    ".join([f"{why}: {folder.name}", *lines]))
