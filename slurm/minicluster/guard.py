"""`python -m slurm.minicluster.guard FOLDER`.

Takes a private cluster down when the process that started it ends, however it ends.

It reads from a pipe whose only writing end belongs to that process; the kernel closes it when the
process ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a guard for the cluster in `folder`, in its own session to be spared from signals."""
    words = [sys.executable, "-m", __name__, str(folder)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def dismiss(guard: subprocess.Popen[bytes]) -> None:
    """End the guard of a cluster that is down."""
    guard.kill()
    guard.wait()
    if guard.stdin:
        guard.stdin.close()


def main(folder: str) -> None:
    """Wait for end of file on stdin, then take the cluster down."""
    sys.stdin.read()
    os.execv(sys.executable, [sys.executable, "-m", "slurm.minicluster", "down", folder])


if __name__ == "__main__":
    main(sys.argv[1])
