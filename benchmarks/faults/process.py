"""A training process under test: started as by a user and monitored through `status.json`.

Its output files are compared without time columns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.process.options import option
from benchmarks.runs import metrics, records
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import METRICS_FILE, RECORDS_FILE
from benchmarks.runs.reading import read_lines
from benchmarks.runs.status import Status, read_status

POLL_SECONDS = 0.01


class Training(NamedTuple):
    """A `safedreamer train` command, the same for every start."""

    out: Path
    method: str
    task: str
    obs: str
    preset: str
    seed: int
    steps: int
    cache: Path  # of compiled programs, for faster restarts
    extra: tuple[str, ...] = ()

    def command(self, *more: str) -> list[str]:
        named = {name: x for name, x in self._asdict().items() if name not in ("cache", "extra")}
        flags = [word for name, value in named.items() for word in option(name, value)]
        return [sys.executable, "-m", "benchmarks.cli", "train", *flags, *self.extra, *more]

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Start the process; its output is captured for `communicate`."""
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(self.cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        return subprocess.Popen(
            self.command(*more),
            env={**os.environ, **cache},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, *more: str) -> str:
        """Run the process to its end; returns its output.

        Raises RuntimeError, with the output, if it fails.
        """
        process = self.start(*more)
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(self.command(*more))} ended with status {process.returncode}:\n{said}"
            )
        return said

    def status_of(self, process: subprocess.Popen[str]) -> Status | None:
        """Status of this process; None before it has written any."""
        try:
            status = read_status(self.out)
        except BadInput:
            return None
        return status if status.pid == process.pid else None


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> bool:
    """Wait for the condition; returns False if the process ended first."""
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(POLL_SECONDS)
    return True


def without_clocks(out: Path) -> dict[str, bytes]:
    """Records and metrics of a run as bytes, without time columns."""
    frame = records.read_records(out).drop(columns=list(records.CLOCK))
    rows = [
        {name: value for name, value in line.data.items() if not metrics.is_clock(name)}
        for line in read_lines(out / METRICS_FILE)
    ]
    return {
        RECORDS_FILE: frame.to_csv(index=False).encode(),
        METRICS_FILE: json.dumps(rows).encode(),
    }
