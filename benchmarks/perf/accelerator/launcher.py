"""Processes of jobs: `prepare` them in parallel, then `measure` them one at a time, each with a
deadline.

A process that crashes, hangs or compiles too long loses only its own result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from benchmarks.perf.accelerator.jobs import Job

# command of a process, followed by its job as JSON
COMMAND = [sys.executable, "-m", "benchmarks.perf.accelerator.measurements"]
STDERR_TAIL = 4000  # characters kept of a crashed process's stderr
ALONE_SECONDS = 60.0  # time limit of a measurement; all are sized for a few seconds


class Launcher:
    """Runs jobs and calls `record(job, row)`, also from other threads, when one ends.

    Rows are {"state": "done" | "failed" | "skipped", ...}.
    """

    def __init__(
        self, parallel: int, folder: Path, record: Callable[[Job, dict[str, Any]], None]
    ) -> None:
        self._parallel, self._folder, self._record = parallel, folder, record
        self._running: list[_Process] = []
        folder.mkdir(parents=True, exist_ok=True)

    def prepare(self, jobs: Iterable[Job], until: float) -> list[_Process]:
        """Start processes and wait until they are ready.

        Returns those ready by `until`, in the order of their jobs.
        """
        with ThreadPoolExecutor(self._parallel) as pool:
            prepared = pool.map(lambda job: self._prepare(job, until), jobs)
        return [process for process in prepared if process is not None]

    def _prepare(self, job: Job, until: float) -> _Process | None:
        if (left := until - time.monotonic()) <= 0:
            self._record(job, {"state": "skipped", "reason": "no time was left to prepare it"})
            return None
        process = _Process(job, self._folder)
        self._running.append(process)
        answer, seconds = process.answer(left), time.monotonic() - process.started
        if answer is None:
            self._end(process, "skipped", f"not prepared {seconds:.0f} s after its start")
        elif "ready" not in answer:
            self._end(process, "failed", answer["failed"])
        else:
            process.facts = {"ready_seconds": seconds} | answer["ready"]
            return process
        return None

    def measure(self, ready: Iterable[_Process], until: float) -> None:
        """Measure prepared processes one after the other until `until` (time.monotonic)."""
        for process in ready:
            if (left := until - time.monotonic()) <= 0:
                self._end(process, "skipped", "ready, but no time was left to measure it")
                continue
            process.go()
            seconds = min(left + 1.0, ALONE_SECONDS)
            answer = process.answer(seconds)
            if answer is None:
                self._end(process, "failed", f"not measured within {seconds:.0f} s")
            elif "done" in answer:
                self._end(process, "done", answer["done"])
            else:
                self._end(process, "failed", answer["failed"])

    def _end(self, process: _Process, state: str, result: str | dict[str, Any]) -> None:
        process.kill()
        self._running.remove(process)
        found = result if isinstance(result, dict) else {"reason": result}
        self._record(process.job, {"state": state} | process.facts | found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()


class _Process:
    """One job's process, with facts about its preparation."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.started = job, time.monotonic()
        self.facts: dict[str, Any] = {"ready_seconds": None}
        self._stderr = folder / ("".join(c if c.isalnum() else "-" for c in job.name) + ".txt")
        with self._stderr.open("w") as stderr:
            self._process = subprocess.Popen(
                [*COMMAND, json.dumps(dataclasses.asdict(job))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,  # killed together with the environment processes it starts
            )

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """Its next answer, {"failed": ...} if it ended without one; None if none comes in time."""
        assert self._process.stdout is not None
        # at most one answer is on its way, so none waits unseen in the buffer
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        if line := self._process.stdout.readline():
            return json.loads(line)
        status = self._process.wait()
        tail = self._stderr.read_text(errors="replace")[-STDERR_TAIL:]
        return {"failed": f"ended with status {status}: {tail}"}

    def go(self) -> None:
        """Start the measurement. A dead process is detected by its answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
