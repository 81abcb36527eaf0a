"""The process that trains one run folder, started alike by all executors.

It runs the snapshot's code and writes its output to the run's log.
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

FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION"  # share of a GPU's memory per process
USABLE_FRACTION = 0.9


def command(folder: Path) -> list[str]:
    """Command that trains a run folder."""
    return [sys.executable, "-m", "benchmarks.cli", "run", str(folder), "--here"]


def environment(
    code: Path, base: Mapping[str, str], gpu: str | None = None, share: float = 1.0
) -> dict[str, str]:
    """Environment variables of a run: modules are imported from the snapshot first, even before
    the working directory.

    `share` is the share of the GPU's memory that the run may use.
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
    """Start training; with `own_session`, signals to the parent's process group do not reach it.

    Signals are blocked until the run has installed its handlers: Slurm sends its warning to every
    process of a step, even to one that is still importing.
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
    """Human-readable exit status of a subprocess."""
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
