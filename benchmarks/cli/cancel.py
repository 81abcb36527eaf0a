"""`safedreamer cancel`: no more of these runs.

Those that run here save and end; a sweep command forgets those that wait.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.cli.common import parse
from benchmarks.cli.selection import Selection

if TYPE_CHECKING:
    from benchmarks.sweep.members import Member


def main(args: Sequence[str]) -> int:
    """Mark them, and signal those of this machine; returns 0."""
    chosen = parse(
        Selection,
        args,
        "safedreamer cancel",
        "Cancel runs: what waits is not started, what runs saves and ends.",
    )
    from benchmarks.runs import attempts

    for member in chosen.members():
        if member.standing in ("done", "cancelled"):
            print(f"{member.standing} already: {member.folder.name}")
            continue
        attempts.add(member.folder, "cancelled", reason="by a person")
        print(f"cancelled: {member.folder.name}{_end(member)}")
    return 0


def _end(member: Member) -> str:
    """Have its process end, if it runs; says what becomes of it."""
    status = member.status
    if member.standing != "running" or status is None:
        return ""
    if status.host == socket.gethostname() and _is_ours(status.pid):
        os.kill(status.pid, signal.SIGTERM)
        return f" (process {status.pid} saves and ends)"
    return f" (process {status.pid} on {status.host} ends when the sweep that started it sees this)"


def _is_ours(pid: int) -> bool:
    """Whether a process of that number trains.

    Containers of one host name may count processes differently.
    """
    import psutil

    try:
        words = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
    return "benchmarks.cli" in words or "safedreamer" in words
