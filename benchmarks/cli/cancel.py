"""`safedreamer cancel`: cancel runs.

Those running on this machine save and end; sweep commands no longer start waiting ones.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.common import parse
from benchmarks.cli.selection import DAMAGED, Selection
from benchmarks.runs.plain_text import printable

if TYPE_CHECKING:
    from benchmarks.runs.status import Status
    from benchmarks.sweep.members import Member

OURS = ("benchmarks.cli", "benchmarks.omnisafe", "safedreamer")  # in the commands that train


def main(args: Sequence[str]) -> int:
    """Mark runs as cancelled, and signal those on this machine; returns 0 or DAMAGED."""
    about = "Cancel runs: what waits is not started, what runs saves and ends."
    chosen = parse(Selection, args, "safedreamer cancel", about)
    from benchmarks.runs import attempts

    found, result = chosen.readable()
    for member in found:
        if member.state in ("done", "cancelled"):
            print(printable(f"{member.state} already: {member.folder.name}"))
            continue
        try:
            attempts.add(member.folder, "cancelled", reason="by a person")
        except OSError as error:
            print(printable(f"cannot be cancelled ({error.strerror}): {member.folder.name}"))
            result = DAMAGED
            continue
        print(printable(f"cancelled: {member.folder.name}{_end(member)}"))
    return result


def _end(member: Member) -> str:
    """Terminate its process, if it runs; returns a note on what happens to it."""
    status = member.status
    if member.state != "running" or status is None:
        return ""
    if status.host == socket.gethostname() and status.pid > 0 and _trains(status, member.folder):
        with contextlib.suppress(OSError):
            os.kill(status.pid, signal.SIGTERM)
            return f" (process {status.pid} saves and ends)"
    return f" (process {status.pid} on {status.host} ends when the sweep that started it sees this)"


def _trains(status: Status, folder: Path) -> bool:
    """Whether the process of a status trains in this folder, not in one that this is a copy of.

    It then holds the folder's lock. Containers with one host name may number processes differently,
    so its command must be one of ours too.
    """
    import psutil

    from benchmarks.runs.files import LOCK_FILE, OWNER_FILE

    try:
        process = psutil.Process(status.pid)
        words = " ".join(process.cmdline())
        if not any(name in words for name in OURS):
            return False
        if not (folder / OWNER_FILE).exists():
            return status.folder == str(folder.resolve())
        lock = folder / LOCK_FILE
        return any(os.path.samefile(opened.path, lock) for opened in process.open_files())
    except (psutil.Error, OSError):
        return False
