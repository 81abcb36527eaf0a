"""Small training runs to make faults in, and what came of a fault."""

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

DISK_BYTES = 5 * 2**18  # room for two checkpoints, not for the third


class Outcome(NamedTuple):
    """What a fault led to."""

    exit_status: int
    seconds: float  # from the fault to the end of the process
    said: str
    # the finished run's files; None where it cannot or need not finish
    as_undisturbed: bool | None = None


class Lab:
    """Where faults are made: a small run that was left alone to compare with, and fresh copies of
    it.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._expected: dict[str, bytes] | None = None

    def small(
        self, name: str, *extra: str, task: str = "SafetyPointGoal1-v0", steps: int = 6000
    ) -> Training:
        """A run of the debug preset with two environments in processes, in a folder of its own."""
        run = self.out / name
        shutil.rmtree(run, ignore_errors=True)
        often = ("--loop.checkpoint-every", "150", "--loop.num-envs", "2")
        obs = "coordinates" if task.startswith("Safety") else "default"
        return Training(
            run, "bsrp_lag", task, obs, "debug", 0, steps, self.out / "cache", (*often, *extra)
        )

    def cpu(self, compiling: bool) -> Training:
        """A run of the cpu preset that learns and evaluates soon.

        `compiling` has it compile anew.
        """
        run, cache = self.out / "signal", self.out / ("cold-cache" if compiling else "cache")
        for folder in (run, cache) if compiling else (run,):
            shutil.rmtree(folder, ignore_errors=True)
        soon = (
            "--loop.prefill",
            "500",
            "--loop.eval-every",
            "600",
            "--loop.checkpoint-every",
            "100000",
        )
        return Training(
            run, "osrp_lag", "SafetyPointGoal1-v0", "coordinates", "cpu", 0, 10**7, cache, soon
        )

    def half(self, name: str) -> Training:
        """A small run that was killed in the middle."""
        run = self.small(name)
        process = run.start()
        until(process, run, lambda _, env_steps: env_steps > 3500)
        process.kill()
        process.communicate()
        return run

    def compared(self, run: Training, outcome: Outcome) -> Outcome:
        """Finish the run; its outcome with whether its files are those of one that was left
        alone.
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

    Raises RuntimeError when it ends before.
    """

    def satisfied() -> bool:
        status = run.status_of(process)
        return status is not None and condition(status.state, status.env_steps)

    if not wait_until(process, satisfied):
        raise RuntimeError(f"the process ended too early:\n{process.communicate()[0]}")


def ended(process: subprocess.Popen[str], since: float, pattern: str = "") -> Outcome:
    """The outcome of a process that is ending.

    `said` is its last line, or the last one that the pattern finds.
    """
    said, _ = process.communicate()
    lines = [line for line in said.strip().splitlines() if re.search(pattern, line)]
    return Outcome(
        process.returncode, round(time.perf_counter() - since, 2), lines[-1] if lines else ""
    )


def started(run: Training, *more: str, pattern: str = "") -> Outcome:
    """The outcome of starting the run as it stands; `said` as in `ended`."""
    since = time.perf_counter()
    return ended(run.start(*more), since, pattern)


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """A file system of DISK_BYTES at `folder`; yields what makes it large enough.

    Needs the right to mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True
    )
    try:
        yield (
            lambda: (
                subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True) and None
            )
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)
