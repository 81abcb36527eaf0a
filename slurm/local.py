"""Runs on this machine: at most N at a time, each a process of its own, as far as memory allows, GPUs in turn.

Children get a session of their own, so that Ctrl-C reaches this process alone, which then asks them to save (SIGTERM) and waits. They
outlive a killed parent, and the next sweep command leaves them alone while they live.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.status import utc_now
from benchmarks.sweep import attempts
from benchmarks.sweep.members import LOG_FILE, member
from slurm.executor import Ended, Job

FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # of a GPU's memory that a process takes
USABLE_FRACTION = 0.9


class Child(NamedTuple):
    """A running job."""

    job: Job
    process: subprocess.Popen[bytes]
    gpu: str | None


def command(folder: Path) -> list[str]:
    """What trains a run folder."""
    return [sys.executable, "-m", "benchmarks.cli", "run", str(folder), "--here"]


def environment(code: Path, base: Mapping[str, str], gpu: str | None = None, share: float = 1.0) -> dict[str, str]:
    """Variables of a run: the snapshot comes first among modules, even before the folder it is started from.

    `share` is the part of the GPU that this run may take.
    """
    path = os.pathsep.join([str(code.resolve()), *filter(None, [base.get("PYTHONPATH")])])
    variables = {**base, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    if gpu is not None:
        variables["CUDA_VISIBLE_DEVICES"] = gpu
        if share < 1.0:
            variables.setdefault(FRACTION, f"{USABLE_FRACTION * share:.2f}")
    return variables


class LocalExecutor:
    """At most `jobs` runs at a time, together within `memory_bytes`, on `gpus` (none: JAX decides)."""

    def __init__(self, jobs: int, memory_bytes: int, gpus: Sequence[str] = ()) -> None:
        self._jobs, self._memory_bytes, self._gpus = jobs, memory_bytes, tuple(gpus)
        self._waiting: deque[Job] = deque()
        self._running: list[Child] = []

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + len(self._running)

    def submit(self, jobs: Sequence[Job]) -> None:
        self._waiting.extend(jobs)

    def poll(self) -> list[Ended]:
        ended = [Ended(child.job, exit, _words(exit)) for child in self._running if (exit := child.process.poll()) is not None]
        self._running = [child for child in self._running if child.process.returncode is None]
        while len(self._running) < self._jobs and (job := self._next()) is not None:
            standing = member(job.folder).standing  # someone else may have been here since it was submitted
            if standing in ("done", "running", "cancelled"):
                ended.append(Ended(job, None, standing))
            else:
                self._running.append(self._start(job))
        return ended

    def cancel(self, folders: Iterable[Path]) -> None:
        chosen = set(folders)
        self._waiting = deque(job for job in self._waiting if job.folder not in chosen)
        for child in self._running:
            if child.job.folder in chosen:
                child.process.send_signal(signal.SIGTERM)

    def close(self) -> list[Ended]:
        self._waiting.clear()
        for child in self._running:
            child.process.send_signal(signal.SIGTERM)
        try:
            for child in self._running:
                child.process.wait()
        except KeyboardInterrupt:  # a second Ctrl-C: the last checkpoints have to do
            for child in self._running:
                child.process.kill()
        return self.poll()

    def _next(self) -> Job | None:
        """The first waiting job that fits beside those that run."""
        free = self._memory_bytes - sum(child.job.memory_bytes for child in self._running)
        for job in self._waiting:
            if job.memory_bytes <= free or not self._running:
                self._waiting.remove(job)
                return job
        return None

    def _start(self, job: Job) -> Child:
        gpu = self._gpu()
        share = min(1.0, len(self._gpus) / self._jobs) if self._gpus else 1.0
        with (job.folder / LOG_FILE).open("ab") as log:
            process = self._spawn(job, environment(job.code, os.environ, gpu, share), log)
        attempts.add(job.folder, "started", where=f"local, process {process.pid}", code=job.code.name)
        return Child(job, process, gpu)

    def _spawn(self, job: Job, variables: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        log.write(f"--- {utc_now()} started from code {job.code.name}\n".encode())
        log.flush()
        return subprocess.Popen(
            command(job.folder),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _gpu(self) -> str | None:
        """The GPU with the fewest runs."""
        if not self._gpus:
            return None
        used = Counter(child.gpu for child in self._running)
        return min(self._gpus, key=lambda gpu: used[gpu])


def visible_gpus(variables: Mapping[str, str]) -> tuple[str, ...]:
    """GPUs that runs may use: those of CUDA_VISIBLE_DEVICES, else all that the driver lists; none without a driver."""
    if "CUDA_VISIBLE_DEVICES" in variables:
        return tuple(name.strip() for name in variables["CUDA_VISIBLE_DEVICES"].split(",") if name.strip())
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # no driver here
        return ()
    return tuple(listed.split())


def _words(exit: int) -> str:
    if exit >= 0:
        return f"exit status {exit}"
    name = signal.Signals(-exit).name
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
