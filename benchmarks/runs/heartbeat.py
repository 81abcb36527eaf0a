"""Which of a run's files changed when, by one clock: that of the file system they lie on.

Clocks of hosts differ.

Every heartbeat replaces status.json, so its modification time is that of the last beat; a file that
is made now tells the time.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

DEAD_AFTER_SECONDS = 60.0  # without a heartbeat; far more than a busy file system delays one


def file_clock(folder: Path) -> float:
    """The time by which files in the folder are dated now, in seconds since 1970.

    Where nothing can be written, the time of this host, which may be off by what the hosts' clocks
    differ.
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
    """When the file was last changed, in seconds since 1970.

    Minus infinity for one that is not there.
    """
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("-inf")
