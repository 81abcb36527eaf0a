"""Modification times of a run's files and the current time, both by the file system's clock.

Clocks of hosts differ.

Every heartbeat replaces status.json, so its modification time is that of the last heartbeat; the
current time is that of a newly created file.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

DEAD_AFTER_SECONDS = 60.0  # without a heartbeat; far longer than a busy file system delays one


def file_clock(folder: Path) -> float:
    """Current time of the folder's file system, in seconds since 1970.

    If the folder is not writable, the time of this host, whose clock may differ.
    """
    try:
        handle, probe = tempfile.mkstemp(prefix=".clock-", dir=folder)
    except OSError:
        return time.time()
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        os.unlink(probe)


def modified(path: Path) -> float:
    """Modification time of a file, in seconds since 1970. Minus infinity if it is missing."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("-inf")
