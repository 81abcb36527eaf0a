"""The process that trains one run folder, as every executor starts it.

The snapshot's code, output to the run's log.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.process.signals import held_back
from benchmarks.runs.status import utc_now
from benchmarks.sweep.members import LOG_FILE

FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # of a GPU's memory that a process takes
USABLE_FRACTION = 0.9


def command(folder: Path) -> list[str]:
    """What trains a run folder."""
    return [sys.executable, "-m", "benchmarks.cli", "run", str(folder), "--here"]


def environment(
    code: Path, base: Mapping[str, str], gpu: str | None = None, share: float = 1.0
) -> dict[str, str]:
    """Variables of a run: the snapshot comes first among modules, even before the folder it is
    started from.

    `share` is the part of the GPU that this run may take.
    """
    path = os.pathsep.join([str(code.resolve()), *filter(None, [base.get("PYTHONPATH")])])
    variables = {**base, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    if gpu is not None:
        variables["CUDA_VISIBLE_DEVICES"] = gpu
        if share < 1.0:
            variables.setdefault(FRACTION, f"{USABLE_FRACTION * share:.2f}")
    return variables


def start(
    folder: Path, code: Path, variables: Mapping[str, str], own_session: bool
) -> subprocess.Popen[bytes]:
    """Start training. In a session of its own, signals to the parent's group do not reach it.

    Signals wait until the run listens to them: Slurm sends its warning to every process of a step,
    also to one that still imports.
    """
    with (folder / LOG_FILE).open("ab") as log:
        log.write(f"--- {utc_now()} started from code {code.name}\n".encode())
        log.flush()
        with held_back():
            return subprocess.Popen(
                command(folder),
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=own_session,
            )


def words(status: int) -> str:
    """An exit status of subprocess for a person."""
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
