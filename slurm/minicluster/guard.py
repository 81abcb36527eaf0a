"""`python -m slurm.minicluster.guard FOLDER`.

Takes a private cluster down when who brought it up is gone, however that went.

A pipe tells: its one writing end is the other process's, and the kernel closes it with that
process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A guard for the cluster in `folder`, out of reach of signals to this process's group."""
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
    """The cluster is down and needs no guard."""
    guard.kill()
    guard.wait()
    if guard.stdin:
        guard.stdin.close()


def main(folder: str) -> None:
    """Wait for the end of stdin, then become the command that takes the cluster down."""
    sys.stdin.read()
    os.execv(sys.executable, [sys.executable, "-m", "slurm.minicluster", "down", folder])


if __name__ == "__main__":
    main(sys.argv[1])
