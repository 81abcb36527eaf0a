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
from typing import Any

from benchmarks.process.signals import HEARD, held_back, let_through
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.spec import RunSpec, to_dict


def train_in_child(
    spec: RunSpec, out: Path, report_seconds: float, verbose: bool = False, **options: Any
) -> int:
    """Train `spec` in `out`; `options` are those of benchmarks.omnisafe.loop.Options.

    Returns the child's exit status.
    """
    shown = {"report_seconds": report_seconds, "verbose": verbose}
    return _run("train", spec, out, options, **shown)


def evaluate_in_child(spec: RunSpec, run: Path, **options: Any) -> int:
    """Call benchmarks.omnisafe.evaluate.evaluate_run with these options."""
    return _run("evaluate", spec, run, options)


def stress_in_child(spec: RunSpec, run: Path, **options: Any) -> int:
    """Call benchmarks.omnisafe.evaluate.evaluate_changed with these options."""
    return _run("stress", spec, run, options)


def keep_in_child(spec: RunSpec, run: Path, **options: Any) -> int:
    """Call benchmarks.omnisafe.publish.write_kept with these options."""
    return _run("keep", spec, run, options)


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


def _run(do: str, spec: RunSpec, folder: Path, options: dict[str, Any], **more: Any) -> int:
    check_interpreter(spec.method)
    order = {"do": do, "spec": to_dict(spec), "options": options, **more}
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
