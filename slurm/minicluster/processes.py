"""Finds and ends the processes of a private cluster, by what they hold open rather than by pid
files.

They are thus found even after their parent has crashed, and a reused pid is never signalled. A
daemon or step manager has its log open in the cluster's folder; processes of a job have the
cluster's SLURM_CONF in their environment, or descend from a step manager. Zombies count as ended.
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
SECONDS_TO_DIE = 20.0  # after SIGKILL; longer only if a process hangs in the kernel


class Found(NamedTuple):
    """A process, its role and its node ("" for none).

    The role is a daemon's name, or "job" for a process of a job or a client that waits for one.
    """

    process: psutil.Process
    role: str
    node: str


def find(folder: Path) -> list[Found]:
    """All running processes of the cluster in `folder`, except this one and its ancestors."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, Found] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended, or is another user's
            if process.pid not in spared and process.status() != psutil.STATUS_ZOMBIE:
                for one in _look(process, folder):
                    found.setdefault(one.process.pid, one)
    return [one for one in found.values() if one.process.pid not in spared]


def end(find_them: Callable[[], list[Found]], grace_s: float = 0.0) -> None:
    """Terminate processes: SIGTERM, and after `grace_s` SIGKILL until none is found.

    Without a `grace_s`, SIGKILL at once. Raises TimeoutError, with pids, if any survive.
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
    """Poll until `holds` returns true; returns whether it did within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def _look(process: psutil.Process, folder: Path) -> list[Found]:
    """The process if it belongs to the cluster; for a step manager also its descendants."""
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
