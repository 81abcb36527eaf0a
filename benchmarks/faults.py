"""`python -m benchmarks.faults`: kill a training process at random instants, resume it, compare with one that never stopped.

Both are `safedreamer train` of the same spec in folders of their own. What must agree, byte for byte, are the episode records and the
metrics without their columns of time. Every other kill falls anywhere in a process's life, starting and compiling included; the others
wait until it has saved something new, so that the run advances. The report names every kill.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import tyro

from benchmarks import checkpoint, metrics, records
from benchmarks.run_folder import CHECKPOINTS


@dataclasses.dataclass(frozen=True)
class FaultOptions:
    """Kill and resume one run; further settings of `safedreamer train` after `--`."""

    out: Path
    """Folder for both runs and the report."""
    method: str = "osrp_lag"
    """Method to train."""
    task: str = "SafetyPointGoal1-v0"
    """Task to train on."""
    obs: str = "coordinates"
    """Observation."""
    steps: int = 3000
    """Simulator steps of the run."""
    kills: int = 20
    """Times the process is killed before it may finish."""
    seed: int = 0
    """Seed of the instants, and of the run."""


class Kill(NamedTuple):
    """One killed process: seconds it lived, and simulator steps of the checkpoint it left (0: none)."""

    seconds: float
    env_steps: int


def train_command(options: FaultOptions, out: Path, extra: Sequence[str]) -> list[str]:
    """The command of one start."""
    settings = {
        "method": options.method,
        "task": options.task,
        "obs": options.obs,
        "seed": options.seed,
        "steps": options.steps,
    }
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "benchmarks.cli", "train", *flags, "--preset", "debug", "--out", str(out), *extra]


def run_to_end(command: list[str]) -> float:
    """Seconds that the command took. Raises CalledProcessError when it fails; what it says goes to stderr."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def kill_after(command: list[str], seconds: float, ready: Callable[[], bool]) -> bool:
    """Start the command and kill it without warning `seconds` after `ready()`; False when it ended by itself before."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not ready():
        time.sleep(0.01)
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    if code:
        raise RuntimeError(f"a resumed run failed by itself with status {code}; run it to see why: {' '.join(command)}")
    return False


def without_clocks(out: Path) -> dict[str, bytes]:
    """Records and metrics of a run as bytes, columns of time left out."""
    frame = records.read_records(out).drop(columns=list(records.CLOCK))
    lines = (out / metrics.FILE_NAME).read_text(encoding="utf-8").splitlines()
    rows = [{name: value for name, value in json.loads(line).items() if not metrics.is_clock(name)} for line in lines]
    return {records.FILE_NAME: frame.to_csv(index=False).encode(), metrics.FILE_NAME: json.dumps(rows).encode()}


def _newest_step(run: Path) -> int:
    """Simulator steps of the newest checkpoint, 0 without one. Raises RuntimeError when a kill left a damaged one."""
    newest, damaged = checkpoint.find(run / CHECKPOINTS)
    if damaged:
        raise RuntimeError(f"a kill left a damaged checkpoint: {damaged}")
    return int(newest.name) if newest else 0


def kill_and_resume(options: FaultOptions, extra: Sequence[str]) -> tuple[list[Kill], dict[str, bool]]:
    """The kills that happened, and for each compared file whether it agrees with the unbroken run's."""
    unbroken, broken = options.out / "unbroken", options.out / "killed"
    for folder in (unbroken, broken):
        shutil.rmtree(folder, ignore_errors=True)
    lifetime = run_to_end(train_command(options, unbroken, extra))
    rng, kills = random.Random(options.seed), []
    command = train_command(options, broken, extra)
    while len(kills) < options.kills:
        before = _newest_step(broken)
        anywhere = len(kills) % 2 == 0
        seconds = rng.uniform(0.0, lifetime if anywhere else lifetime / options.kills)
        start = time.perf_counter()
        if not kill_after(command, seconds, lambda: anywhere or _newest_step(broken) > before):  # noqa: B023 (called at once)
            break  # finished before its last kills: there is nothing left to interrupt
        kills.append(Kill(round(time.perf_counter() - start, 2), _newest_step(broken)))
        print(
            f"kill {len(kills)} after {kills[-1].seconds:6.2f} s, newest checkpoint at {kills[-1].env_steps:,} steps",
            flush=True,
        )
    run_to_end(command)
    expected, got = without_clocks(unbroken), without_clocks(broken)
    return kills, {name: expected[name] == got[name] for name in expected}


def main(options: FaultOptions, extra: Sequence[str]) -> int:
    """Print and write the report; returns 1 when a file differs or the run ended before half of the kills."""
    options.out.mkdir(parents=True, exist_ok=True)
    kills, equal = kill_and_resume(options, extra)
    report = {
        **{name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(options).items()},
        "kills": [kill._asdict() for kill in kills],
        "equal": equal,
    }
    (options.out / "faults.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, same in equal.items():
        print(f"{name}: {'identical' if same else 'DIFFERENT'} after {len(kills)} kills")
    return 0 if all(equal.values()) and 2 * len(kills) >= options.kills else 1


if __name__ == "__main__":
    chosen, rest = tyro.cli(FaultOptions, return_unknown_args=True)
    sys.exit(main(chosen, [part for part in rest if part != "--"]))
