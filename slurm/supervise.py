"""What a Slurm job runs: a supervisor that trains one run in a child process and records each
start and end in the run's folder.

Slurm may start a job twice (after a node failure the first copy can survive), or again after it
succeeded, so the folder is checked first. Before the time limit and on preemption Slurm sends
SIGUSR2 to every process of the job: submitit then calls `checkpoint`, which has the child save, and
requeues the job. On SIGTERM alone (`scancel`, preemption on clusters that send nothing else) the
child saves too, and the job stays until Slurm kills it: Slurm requeues preempted jobs only if it
had to kill them itself. A crashed child is restarted here with back-off, up to a limit, so that
retries need no process outside the cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from submitit.helpers import DelayedSubmission

from benchmarks.process.exits import BAD_INPUT, FAILED
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import attempts
from benchmarks.runs.reading import DamagedFile
from benchmarks.sweep.members import member
from slurm import child
from slurm.drive import Retries

POLL_SECONDS = 0.5  # between polls of the child
LOOK_SECONDS = 5.0  # between looks into the run folder
LINGER_SECONDS = 900.0  # after SIGTERM; longer than clusters' grace time for preempted jobs
# exit statuses of a child that was signalled before it had installed its handlers
TELLING = (-signal.SIGTERM, -signal.SIGUSR1, -signal.SIGUSR2)


class Order(NamedTuple):
    """Arguments of a job; everything else is in the run's folder."""

    folder: str
    code: str
    retries: Retries
    save_seconds: float  # for saving, between Slurm's warning and the time limit


class RunGaveUp(Exception):
    """A run failed for good. Fails the Slurm job too, so that jobs depending on it do not start."""


class Supervisor:
    """The checkpointable function that submitit calls in the job."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._process: subprocess.Popen[bytes] | None = None
        self._told = ""  # name of the stop signal received

    def __call__(self, order: Order) -> str:
        """Train the run and return its state. Raises RunGaveUp."""
        self._listen()
        try:
            state = self._see_through(order)
        except DamagedFile as error:
            raise RunGaveUp(str(error)) from error
        if self._told and state not in ("done", "cancelled"):
            self._linger()
        return state

    def _see_through(self, order: Order) -> str:
        """Start the run until it is done, has failed for good or must stop."""
        folder, where = Path(order.folder), place(os.environ)
        while True:
            state = self._await_others(folder, where)
            if state in ("done", "cancelled", "running"):
                return state
            _settle_earlier(folder, where)
            failed = attempts.failures(attempts.read(folder))
            if failed > order.retries.limit:
                raise RunGaveUp(f"{folder.name} failed {failed} times: {member(folder).reason()}")
            if failed and not self._pause(folder, order.retries.delay(failed)):
                return "stopped"
            status = self._train(folder, Path(order.code), where)
            if self._told or status == EXIT_STOPPED:
                return "done" if member(folder).state == "done" else "stopped"
            if status == BAD_INPUT:
                raise RunGaveUp(f"{folder.name}: {member(folder).reason()}")

    def checkpoint(self, order: Order) -> DelayedSubmission:
        """Have the child save; returns the submission for submitit to requeue.

        Called from a signal handler, possibly more than once.
        """
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # some versions of Slurm send it twice
        folder = Path(order.folder)
        self._told = "SIGUSR2"
        if self._process is not None:
            self._end_child(order.save_seconds)
            if member(folder).state == "done":  # finished meanwhile: nothing to requeue
                attempts.add(folder, "ended", exit=0)
                sys.exit(0)
            reason = "requeued: time limit or preemption"
            attempts.add(folder, "ended", exit=EXIT_STOPPED, reason=reason)
        return DelayedSubmission(Supervisor(), order)

    def _end_child(self, seconds: float) -> None:
        """Send SIGTERM and wait, without Popen.wait, whose lock the interrupted code may hold."""
        assert self._process is not None
        pid, deadline = self._process.pid, time.monotonic() + seconds
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGTERM)
            while time.monotonic() < deadline:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    return
                time.sleep(0.1)

    def _listen(self) -> None:
        """Record SIGTERM and forward it to the child.

        Not every way of ending a job signals all its processes.
        """

        def tell(number: int, frame: object) -> None:
            self._told = signal.Signals(number).name
            if self._process is not None and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGTERM)

        signal.signal(signal.SIGTERM, tell)

    def _linger(self) -> None:
        """Wait until Slurm kills the job: a job that exits by itself counts as completed and is
        not requeued after preemption.
        """
        for _ in range(round(LINGER_SECONDS / LOOK_SECONDS)):
            self._sleep(LOOK_SECONDS)

    def _await_others(self, folder: Path, where: str) -> str:
        """State of the run once no earlier copy of this same job trains it.

        "running" if another job or process does.
        """
        while (state := member(folder).state) == "running" and not self._told:
            last = attempts.last(attempts.read(folder), "started")
            if last is None or job_of(last.where) != job_of(where):
                return "running"
            self._sleep(LOOK_SECONDS)
        return state

    def _pause(self, folder: Path, seconds: float) -> bool:
        """Wait before the next start; returns False if the run must not start again."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._told:
            self._sleep(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
            if attempts.cancelled(attempts.read(folder)):
                return False
        return not self._told

    def _train(self, folder: Path, code: Path, where: str) -> int:
        """Train the run once, recording its start and end. Returns the exit status."""
        attempts.add(folder, "started", where=where, code=code.name)
        process = child.start(folder, code, child.environment(code, os.environ), own_session=False)
        self._process = process
        looked, told = time.monotonic(), False
        while (status := process.poll()) is None:
            self._sleep(POLL_SECONDS)
            if not told and time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if told := attempts.cancelled(attempts.read(folder)):
                    process.send_signal(signal.SIGTERM)
        self._process = None
        asked = bool(self._told) or told
        if status == EXIT_STOPPED or (asked and status in TELLING):
            reason = f"stopped by {self._told or 'a person'}"
            attempts.add(folder, "ended", exit=EXIT_STOPPED, reason=reason)
            return EXIT_STOPPED
        now = member(folder)
        # refused: another process trains this run folder
        taken = status in (FAILED, BAD_INPUT) and now.state == "running"
        failed = not taken and now.state != "done"
        reason = child.words(status) if failed else ""
        attempts.add(folder, "ended", exit=status, failed=failed, reason=reason)
        return status if failed else 0


def place(variables: Mapping[str, str]) -> str:
    """Where a job runs, such as "slurm 12_3 on node7"; read again by `job_of`."""
    array, task = variables.get("SLURM_ARRAY_JOB_ID"), variables.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else variables.get("SLURM_JOB_ID", "?")
    return f"slurm {job} on {variables.get('SLURMD_NODENAME') or socket.gethostname()}"


def job_of(where: str) -> str:
    """Slurm job id in a `place`, "" for one not on Slurm."""
    words = where.split()
    return words[1] if words[:1] == ["slurm"] else ""


def _settle_earlier(folder: Path, where: str) -> None:
    """Record the end of an earlier start of this job that was killed and recorded none."""
    last = attempts.last(attempts.read(folder), "started", "ended")
    if last is not None and last.event == "started" and job_of(last.where) == job_of(where):
        reason = f"killed without notice ({last.where}): its node died, or Slurm killed it"
        attempts.add(folder, "ended", failed=True, reason=reason)
