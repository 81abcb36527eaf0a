"""Processes of jobs: `prepare` them in parallel, then `measure` them one at a time, each with a
deadline.

A process that crashes, hangs or compiles too long loses only its own result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from benchmarks.perf.accelerator.jobs import Job

# command of a process, followed by its job as JSON
COMMAND = [sys.executable, "-m", "benchmarks.perf.accelerator.measurements"]
STDERR_TAIL = 4000  # characters kept of a crashed process's stderr
ALONE_SECONDS = 60.0  # time limit of a measurement; all are sized for a few seconds


class Launcher:
    """Runs jobs and calls `record(job, row)` when one ends.

    Rows are {"state": "done" | "failed" | "skipped", ...}.
    """

    def __init__(
        self, parallel: int, folder: Path, record: Callable[[Job, dict[str, Any]], None]
    ) -> None:
        self._parallel, self._folder, self._record = parallel, folder, record
        self._answers: queue.Queue[tuple[_Process, dict[str, Any]]] = queue.Queue()
        self._running: list[_Process] = []
        folder.mkdir(parents=True, exist_ok=True)

    def prepare(self, jobs: Iterable[Job], until: float) -> list[_Process]:
        """Start processes and wait until they are ready.

        Returns those ready by `until`, in the order of their jobs.
        """
        order = list(jobs)
        waiting = deque(order)
        preparing: list[_Process] = []
        ready: list[_Process] = []
        while (preparing or waiting) and (left := until - time.monotonic()) > 0:
            while waiting and len(preparing) < self._parallel:
                preparing.append(self._start(waiting.popleft()))
            try:
                process, answer = self._answers.get(timeout=left)
            except queue.Empty:
                break
            if "ready" in answer:
                process.facts = answer["ready"]
                preparing.remove(process)
                ready.append(process)
            else:  # failed while preparing, or while waiting for its turn
                (ready if process in ready else preparing).remove(process)
                self._end(process, "failed", answer["failed"])
        for process in preparing:
            self._end(
                process,
                "skipped",
                f"not prepared {time.monotonic() - process.started:.0f} s after its start",
            )
        for job in waiting:
            self._record(job, {"state": "skipped", "reason": "no time was left to prepare it"})
        return sorted(ready, key=lambda process: order.index(process.job))

    def measure(self, ready: Iterable[_Process], until: float) -> None:
        """Measure prepared processes one after the other until `until` (time.monotonic)."""
        for process in ready:
            if process not in self._running:  # it died while another was measured
                continue
            if (left := until - time.monotonic()) > 0:
                self._measure(process, min(left + 1.0, ALONE_SECONDS))
            else:
                self._end(process, "skipped", "ready, but no time was left to measure it")

    def _measure(self, process: _Process, seconds: float) -> None:
        process.go()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                answered, answer = self._answers.get(timeout=left)
            except queue.Empty:
                break
            if answered is process and "done" in answer:
                self._end(process, "done", answer["done"])
            elif answered in self._running:
                # this one failed, or a waiting process died
                self._end(answered, "failed", answer.get("failed", "answered out of turn"))
            if process not in self._running:
                return
        self._end(process, "failed", f"not measured within {seconds:.0f} s")

    def _start(self, job: Job) -> _Process:
        process = _Process(job, self._folder, self._answers)
        self._running.append(process)
        return process

    def _end(self, process: _Process, state: str, result: str | dict[str, Any]) -> None:
        if process not in self._running:
            return
        process.kill()
        self._running.remove(process)
        found = result if isinstance(result, dict) else {"reason": result}
        self._record(
            process.job,
            {"state": state, "ready_seconds": process.ready_seconds} | process.facts | found,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()


class _Process:
    """One job's process.

    A thread puts its answers into a queue, and {"failed": ...} if it ends without a result.
    """

    def __init__(
        self, job: Job, folder: Path, answers: queue.Queue[tuple[_Process, dict[str, Any]]]
    ) -> None:
        self.job, self.facts, self.started = job, {}, time.monotonic()
        self.ready_seconds: float | None = None
        self._killed = False
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
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def _listen(self, answers: queue.Queue[tuple[_Process, dict[str, Any]]]) -> None:
        assert self._process.stdout is not None
        finished = False
        for line in self._process.stdout:
            answer = json.loads(line)
            if "ready" in answer:
                self.ready_seconds = time.monotonic() - self.started
            finished = "ready" not in answer
            answers.put((self, answer))
        if not finished and not self._killed:
            status = self._process.wait()
            tail = self._stderr.read_text(errors="replace")[-STDERR_TAIL:]
            answers.put((self, {"failed": f"ended with status {status}: {tail}"}))

    def go(self) -> None:
        """Start the measurement. A dead process is detected by its answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """Kill the process and its children."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
