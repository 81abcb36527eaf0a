"""Small training runs for fault injection, and the outcomes of faults."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.process import Training, wait_until, without_clocks
from benchmarks.runs.status import State

DISK_BYTES = 5 * 2**18  # fits two checkpoints, but not a third


class Outcome(NamedTuple):
    """Outcome of a fault."""

    exit_status: int
    seconds: float  # from the fault to the end of the process
    said: str
    # whether the finished run's files match; None if it cannot or need not finish
    as_undisturbed: bool | None = None


class Lab:
    """Provides runs for fault injection: small ones, and an undisturbed one for comparison."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._expected: dict[str, bytes] | None = None

    def small(
        self, name: str, *extra: str, task: str = "SafetyPointGoal1-v0", steps: int = 6000
    ) -> Training:
        """A run of the debug preset with two environment processes, in its own folder."""
        run = self.out / name
        shutil.rmtree(run, ignore_errors=True)
        often = ("--loop.checkpoint-every", "150", "--loop.num-envs", "2")
        obs = "coordinates" if task.startswith("Safety") else "default"
        return Training(
            run, "bsrp_lag", task, obs, "debug", 0, steps, self.out / "cache", (*often, *extra)
        )

    def cpu(self, compiling: bool) -> Training:
        """A run of the cpu preset that learns and evaluates early.

        `compiling` disables cached compilations.
        """
        run, cache = self.out / "signal", self.out / ("cold-cache" if compiling else "cache")
        for folder in (run, cache) if compiling else (run,):
            shutil.rmtree(folder, ignore_errors=True)
        soon = "--loop.prefill 500 --loop.eval-every 600 --loop.checkpoint-every 100000".split()
        task, obs = "SafetyPointGoal1-v0", "coordinates"
        return Training(run, "osrp_lag", task, obs, "cpu", 0, 10**7, cache, tuple(soon))

    def half(self, name: str) -> Training:
        """A small run killed halfway."""
        run = self.small(name)
        process = run.start()
        until(process, run, lambda _, env_steps: env_steps > 3500)
        process.kill()
        process.communicate()
        return run

    def compared(self, run: Training, outcome: Outcome) -> Outcome:
        """Finish the run; returns the outcome with whether its files equal those of an undisturbed
        run.
        """
        if self._expected is None:
            undisturbed = self.small("undisturbed")
            undisturbed.finish()
            self._expected = without_clocks(undisturbed.out)
        run.finish()
        return outcome._replace(as_undisturbed=without_clocks(run.out) == self._expected)


def until(
    process: subprocess.Popen[str], run: Training, condition: Callable[[State, int], bool]
) -> None:
    """Wait until the run's state and simulator steps satisfy the condition.

    Raises RuntimeError if it ends earlier.
    """

    def satisfied() -> bool:
        status = run.status_of(process)
        return status is not None and condition(status.state, status.env_steps)

    if not wait_until(process, satisfied):
        raise RuntimeError(f"the process ended too early:\n{process.communicate()[0]}")


def ended(process: subprocess.Popen[str], since: float, pattern: str = "") -> Outcome:
    """Wait for a process to end and return its outcome.

    `said` is its last line, or the last one that matches the pattern.
    """
    said, _ = process.communicate()
    lines = [line for line in said.strip().splitlines() if re.search(pattern, line)]
    return Outcome(
        process.returncode, round(time.perf_counter() - since, 2), lines[-1] if lines else ""
    )


def started(run: Training, *more: str, pattern: str = "") -> Outcome:
    """Start the run in its current state and return its outcome; `said` as in `ended`."""
    since = time.perf_counter()
    return ended(run.start(*more), since, pattern)


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """Mount a file system of DISK_BYTES at `folder`; yields a function that makes it large enough.

    Requires permission to mount.
    """

    def mount(*options: str) -> None:
        subprocess.run(["mount", *options, str(folder)], check=True)

    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs")
    try:
        yield lambda: mount("-o", "remount,size=1g")
    finally:
        subprocess.run(["umount", str(folder)], check=True)
