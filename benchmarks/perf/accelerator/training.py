"""Part b: a command-line run from vision for the remaining minutes, ending with an evaluation; then
its video.

The video needs a simulator, in this interpreter or in that of `--env-python`. Without one it is
skipped and its time goes to training; it can be made from the checkpoint on another machine
(`safedreamer evaluate RUN --video`).
"""

from __future__ import annotations

import importlib.util
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.envs.factory import chosen_python
from benchmarks.runs.files import METRICS_FILE
from benchmarks.sweep.rates import last_row

# Arguments of `safedreamer train`, besides --out, --max-minutes and --report-seconds. The model is
# small, and batches, imagination and the number of simulators are large instead, because an update
# is a chain of short kernels whatever the model's width.
TRAIN = """
--method bsrp_lag --task SafetyPointCircle1-v0 --obs vision --preset cpu --seed 0 --dtype bfloat16
--model.deter 256 --model.units 256 --model.head-units 256 --model.classes 16
--model.optimizer.learning-rate 6e-4
--imagination.starts 512 --loop.batch-size 32 --loop.batch-length 32 --loop.train-ratio 192
--loop.num-envs 16 --loop.prefill 4096 --replay.capacity 400000
--loop.eval-every 15000 --loop.eval-episodes 16
--loop.log-every 2000 --loop.checkpoint-every 1000000
""".split()
REHEARSED_TRAIN = """
--method bsrp_lag --task SafetyPointCircle1-v0 --obs vision --preset debug --seed 0 --dtype bfloat16
--steps 400 --loop.eval-every 1000000
""".split()
# Arguments of `safedreamer evaluate` after the run folder.
FILM = "--episodes 4 --video --video-episodes 1 --stills 4".split()
REHEARSED_FILM = "--episodes 1 --stills 1".split()

FILM_MINUTES = 0.75  # reserved for the video
# overhead before a run's clock starts and after it ends: imports, starting environments, saving
AROUND_MINUTES = 0.5
REPORT_SECONDS = 15.0
# after --max-minutes until a run gets SIGTERM, and again until SIGKILL
GRACE_SECONDS = 30.0


def train(run: Path, minutes: float, rehearse: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Train and render a video within `minutes`; returns each command's outcome for the report.

    An existing run folder is continued.
    """
    args, film = (REHEARSED_TRAIN, REHEARSED_FILM) if rehearse else (TRAIN, FILM)
    can_film = bool(chosen_python()) or importlib.util.find_spec("safety_gymnasium") is not None
    limit = max(0.5, minutes - AROUND_MINUTES - (FILM_MINUTES if can_film else 0.0))
    limits = ["--max-minutes", f"{limit:.2f}", "--report-seconds", f"{REPORT_SECONDS:g}"]
    command = ["train", *args, "--out", str(run), *limits]
    begun = time.monotonic()
    trained = command_line(command, run.with_name("train.txt"), 60 * limit, say)
    found = {"train": trained, "last_metrics": last_row(run / METRICS_FILE)}
    left = 60 * minutes - (time.monotonic() - begun)
    if can_film and trained["state"] != "failed" and left > 0:
        words = ["evaluate", str(run), *film]
        return found | {"film": command_line(words, run.with_name("film.txt"), left, say)}
    reason = "no Safety-Gymnasium to draw with, here or by --env-python"
    if can_film:
        reason = f"training {trained['state']}, {left:.0f} s left"
    return found | {"film": {"state": "skipped", "reason": reason}}


def command_line(
    args: list[str], log: Path, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run a command of the suite with its output in `log`, passing its last line to `say`.

    Returns how it ended.
    """
    begun = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cli", *args],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        for stop in (None, signal.SIGTERM, signal.SIGKILL):
            if stop is not None:
                say(f"{args[0]}: {stop.name} after {time.monotonic() - begun:.0f} s")
                process.send_signal(stop)
            if wait(process, log, seconds + GRACE_SECONDS if stop is None else GRACE_SECONDS, say):
                break
    finally:
        if process.poll() is None:
            process.kill()
    text = log.read_text(errors="replace")
    return {
        "state": "failed" if process.wait() else "done",
        "command": shlex.join(args),
        "status": process.returncode,
        "seconds": time.monotonic() - begun,
        "output": text[-3000:],
    }


def wait(
    process: subprocess.Popen[bytes], log: Path, seconds: float, say: Callable[[str], None]
) -> bool:
    """Whether the process ended within `seconds`."""
    until, told = time.monotonic() + seconds, ""
    while (left := until - time.monotonic()) > 0:
        try:
            process.wait(min(REPORT_SECONDS, left))
            return True
        except subprocess.TimeoutExpired:
            lines = log.read_text(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "")
            if last != told:
                say(f"  {last}")
            told = last
    return False
