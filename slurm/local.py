"""Executor on this machine: at most N processes at a time, within memory, spread over the GPUs.

Children run in their own sessions, so that Ctrl-C reaches only this process, which then has them
save (SIGTERM) and waits. They outlive a killed parent, and the next sweep command leaves them alone
while they run.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.runs import attempts
from benchmarks.sweep.members import where
from slurm import child
from slurm.executor import Ended, Job, needless


class Child(NamedTuple):
    """A running job."""

    job: Job
    process: subprocess.Popen[bytes]
    gpu: str | None


class LocalExecutor:
    """At most `jobs` runs at a time, together within `memory_bytes`, on `gpus` (none: JAX decides).

    Runs in `beside`, started by another sweep command or by one that was killed, count towards
    `jobs` while they run.
    """

    poll_seconds = 0.5
    depends = False

    def __init__(
        self, jobs: int, memory_bytes: int, gpus: Sequence[str] = (), beside: Sequence[Path] = ()
    ) -> None:
        self._jobs, self._memory_bytes, self._gpus = jobs, memory_bytes, tuple(gpus)
        self._beside = list(beside)
        self._waiting: deque[Job] = deque()
        self._running: list[Child] = []

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + len(self._running)

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self) -> list[Ended]:
        ended = [
            Ended(c.job, status, child.words(status))
            for c in self._running
            if (status := c.process.poll()) is not None
        ]
        self._running = [c for c in self._running if c.process.returncode is None]
        self._beside = [folder for folder in self._beside if where(folder) == "running"]
        while len(self._running) + len(self._beside) < self._jobs and (job := self._next()):
            if found := needless(job):
                ended.append(found)
            else:
                self._running.append(self._start(job))
        return ended

    def cancel(self, folders: Iterable[Path]) -> None:
        chosen = set(folders)
        self._waiting = deque(job for job in self._waiting if job.folder not in chosen)
        for running in self._running:
            if running.job.folder in chosen:
                running.process.send_signal(signal.SIGTERM)

    def close(self) -> list[Ended]:
        self._waiting.clear()
        for running in self._running:
            running.process.send_signal(signal.SIGTERM)
        try:
            for running in self._running:
                running.process.wait()
        except KeyboardInterrupt:  # a second Ctrl-C: runs keep their last checkpoints
            for running in self._running:
                running.process.kill()
            for running in self._running:
                # wait, so that its end is recorded below and its status is not left at "running"
                running.process.wait()
        return self.poll()

    def _next(self) -> Job | None:
        """The first waiting job that fits into the memory left by running ones."""
        free = self._memory_bytes - sum(running.job.memory_bytes for running in self._running)
        for job in self._waiting:
            if job.memory_bytes <= free or not (self._running or self._beside):
                self._waiting.remove(job)
                return job
        return None

    def _start(self, job: Job) -> Child:
        gpu = self._gpu()
        # of the GPU's memory; with 3 runs on 2 GPUs, two share one
        share = 1 / math.ceil(self._jobs / len(self._gpus)) if self._gpus else 1.0
        variables = child.environment(job.code, os.environ, gpu, share)
        process = child.start(job.folder, job.code, variables, own_session=True)
        where = f"local, process {process.pid}"
        attempts.add(job.folder, "started", where=where, code=job.code.name)
        return Child(job, process, gpu)

    def _gpu(self) -> str | None:
        """The GPU with the fewest runs."""
        if not self._gpus:
            return None
        used = Counter(running.gpu for running in self._running)
        return min(self._gpus, key=lambda gpu: used[gpu])


def visible_gpus(variables: Mapping[str, str]) -> tuple[str, ...]:
    """GPUs that runs may use: CUDA_VISIBLE_DEVICES, else those that the driver lists, if any."""
    if "CUDA_VISIBLE_DEVICES" in variables:
        return tuple(variables["CUDA_VISIBLE_DEVICES"].replace(",", " ").split())
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):  # no driver
        return ()
    return tuple(done.stdout.split())
