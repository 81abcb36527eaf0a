"""Runs OmniSafe in a child process: sends the request, forwards signals, returns the exit status.

torch and OmniSafe change process-wide settings (deterministic algorithms, cuDNN, threads), so they
do not share a process with JAX.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from benchmarks.process.signals import HEARD, held_back, let_through
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.spec import RunSpec, to_dict


def check_interpreter(method: str) -> None:
    """Raise BadInput if this interpreter lacks Safety-Gymnasium, which OmniSafe imports.

    It is required even if environments run under another interpreter.
    """
    if importlib.util.find_spec("safety_gymnasium") is None:
        raise BadInput(
            f"{method} is OmniSafe's, and OmniSafe imports Safety-Gymnasium, which "
            f"{sys.executable} lacks (--env-python is for environments only): train it under a "
            "Python 3.11 after `make setup` and `make omnisafe`; on Slurm the profile's "
            "`python: {omnisafe: PATH}` names that one"
        )


def run_in_child(
    do: Literal["train", "evaluate", "stress", "keep"], spec: RunSpec, folder: Path, **options: Any
) -> int:
    """Train, evaluate, stress or publish a run; returns the child's exit status.

    `options` are those of the function in benchmarks.omnisafe.__main__ that does it.
    """
    check_interpreter(spec.method)
    order = {"do": do, "spec": to_dict(spec), "options": options}
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    command = [sys.executable, "-m", "benchmarks.omnisafe", str(folder)]
    with held_back():
        # Own process group, so that the terminal's Ctrl-C reaches it only once, through us.
        child = subprocess.Popen(command, stdin=subprocess.PIPE, env=environ, process_group=0)
    assert child.stdin is not None
    with _forwarding(child):
        child.stdin.write(json.dumps(order).encode() + b"\n")
        child.stdin.flush()  # left open: its closing signals that this process has exited
        status = child.wait()
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; out of memory is the usual cause" if name == "SIGKILL" else ""
        raise RunFailed(
            f"the process of {spec.method} was killed by {name}{hint}; the same command goes on "
            "from what was saved"
        )
    return status


@contextmanager
def _forwarding(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Forward signals to the child, which handles them."""

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in HEARD}
    let_through()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if child.poll() is None:
            child.kill()
            child.wait()
