"""Runs commands of the suite in processes of their own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

from benchmarks.runs.errors import RunFailed


def command(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> None:
    """Run `safedreamer ARGUMENTS`. Raises RunFailed, with its last line, if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cli", *arguments],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RunFailed(f"safedreamer {shlex.join(arguments)} failed: {''.join(said)}")
