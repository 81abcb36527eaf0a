"""The processes of a private cluster, found by what they hold rather than by what was once written
down about them.

So they are found also after a crash of whoever started them, and a pid that was given to another
process is never touched. A daemon or step manager has its log open in the cluster's folder; what a
job runs has the cluster's SLURM_CONF in its environment, or descends from a step manager. Zombies
are dead.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

DAEMONS = ("slurmctld", "slurmscriptd", "slurmd", "slurmstepd", "munged")
CLIENTS = ("srun", "salloc", "sbatch")  # these may wait for a job
JOB = "job"
SECONDS_TO_DIE = 20.0  # after SIGKILL; more only where a process hangs in the kernel


class Found(NamedTuple):
    """A process; its role (a daemon's name, or "job" for what a job runs or who waits for one).

    Its node, "" where it has none.
    """

    process: psutil.Process
    role: str
    node: str


def find(folder: Path) -> list[Found]:
    """All living processes of the cluster in `folder`, this one and its ancestors left out."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, Found] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended, or is another user's
            if process.pid not in spared and process.status() != psutil.STATUS_ZOMBIE:
                for one in _look(process, folder):
                    found.setdefault(one.process.pid, one)
    return [one for one in found.values() if one.process.pid not in spared]


def end(find_them: Callable[[], list[Found]], grace_s: float = 0.0) -> None:
    """Have processes end: ask them (SIGTERM), and after `grace_s` kill what is left, until nothing
    is found.

    Raises TimeoutError, with pids, when something outlives that.
    """
    if grace_s:
        _signal(find_them(), psutil.Process.terminate)
        wait_until(lambda: not find_them(), grace_s)
    deadline = time.monotonic() + SECONDS_TO_DIE
    while left := find_them():
        if time.monotonic() > deadline:
            raise TimeoutError(
                "processes that do not die: "
                f"{', '.join(f'{one.role} {one.process.pid}' for one in left)}"
            )
        _signal(left, psutil.Process.kill)
        time.sleep(0.02)


def wait_until(holds: Callable[[], bool], seconds: float, every: float = 0.05) -> bool:
    """Whether it came to hold in that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def _look(process: psutil.Process, folder: Path) -> list[Found]:
    """The process where it belongs to the cluster; with a step manager also its descendants."""
    name = process.name()
    if name in DAEMONS:
        log = _log(process, folder)
        if log is None:
            return []
        node = log.removeprefix("slurmd-") if log.startswith("slurmd-") else ""
        below = process.children(recursive=True) if name == "slurmstepd" else []
        return [
            Found(process, name, node),
            *(Found(child, JOB, node) for child in below if child.is_running()),
        ]
    variables = process.environ()
    ours = variables.get("SLURM_CONF") == str(folder / "slurm.conf")
    if ours and ("SLURM_JOB_ID" in variables or name in CLIENTS):
        return [Found(process, JOB, variables.get("SLURMD_NODENAME", ""))]
    return []


def _log(process: psutil.Process, folder: Path) -> str | None:
    """Name of the log in the cluster's folder that the process has open."""
    logs = f"{folder / 'log'}/"
    for handle in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(handle).removesuffix(" (deleted)")
            if target.startswith(logs) and target.endswith(".log"):
                return target.removeprefix(logs).removesuffix(".log")
    return None


def _signal(processes: list[Found], send: Callable[[psutil.Process], None]) -> None:
    for one in processes:
        with contextlib.suppress(psutil.Error):
            send(one.process)
