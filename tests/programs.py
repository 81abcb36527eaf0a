"""Separate processes, for tests: Python programs, and whether a process still runs."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from tests.tree import ROOT


def python(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments and additional environment variables in the checkout."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks" / "api")])
    return subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def output(*args: str) -> str:
    """What Python prints with these arguments; it must succeed."""
    done = python(*args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def omnisafe_output(text: str, *args: str) -> str:
    """What a program that uses OmniSafe or torch prints; it must succeed."""
    first = "from benchmarks.envs.compat import import_safety_gymnasium; import_safety_gymnasium()"
    return output("-c", f"{first}\n{text}", *args)


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie has ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
