"""Kill a training process with SIGKILL at random times, resume it, and compare it with an
uninterrupted one.

Kills are spread over the run: a process is killed up to a second after it has reached a random
number of simulator steps, thus also during evaluation or while writing a checkpoint; every fourth
one is killed while starting. Episode records and metrics must agree byte for byte, except for the
time columns.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.process import Training, wait_until, without_clocks
from benchmarks.runs import checkpoint
from benchmarks.runs.files import CHECKPOINTS
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import write_report

STARTING_EVERY = 4  # one in this many processes is killed while starting
SHARED = ("method", "task", "obs", "preset", "seed", "steps")  # options that are the run's
AFTER_SECONDS = 1.0  # longest delay between reaching the steps and the kill


@dataclasses.dataclass(frozen=True)
class KillOptions:
    """Kill and resume one run; further settings of `safedreamer train` after `--`."""

    out: Path
    """Folder for both runs and the report."""
    method: str = "osrp_lag"
    """Method to train."""
    task: str = "SafetyPointGoal1-v0"
    """Task to train on."""
    obs: str = "coordinates"
    """Observation."""
    preset: str = "debug"
    """Preset."""
    steps: int = 20_000
    """Simulator steps of the run."""
    kills: int = 20
    """Number of kills before the process may finish."""
    seed: int = 0
    """Seed of the run and of the kill times."""
    mapped: bool = False
    """Map the replay buffer to files (`--replay.directory`)."""


class Kill(NamedTuple):
    """One killed process: its lifetime in seconds, state, simulator steps reached, and those of its
    newest checkpoint.
    """

    seconds: float
    state: str
    env_steps: int
    checkpoint: int


def trainings(options: KillOptions, extra: Sequence[str]) -> tuple[Training, Training]:
    """The undisturbed run and the killed one, identical except for their folders."""

    def training(name: str) -> Training:
        mapped = ("--replay.directory", str(options.out / f"{name}-replay"))
        return Training(
            out=options.out / name,
            **{name: getattr(options, name) for name in SHARED},
            cache=options.out / "cache",
            extra=(*extra, *(mapped if options.mapped else ())),
        )

    return training("unbroken"), training("killed")


def kill_at(training: Training, env_steps: int, seconds: float) -> Kill | None:
    """Start the process, wait for `env_steps` (-1: not at all) and `seconds` more, then kill it.

    Returns None if the process ended earlier.

    Raises RuntimeError if it failed, or its newest checkpoint is damaged.
    """
    start, process = time.perf_counter(), training.start()

    def reached() -> bool:
        status = training.status_of(process)
        return env_steps < 0 or (status is not None and status.env_steps >= env_steps)

    alive = wait_until(process, reached)
    deadline = time.perf_counter() + seconds
    if not (alive and wait_until(process, lambda: time.perf_counter() > deadline)):
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(
                f"a resumed run failed by itself with status {process.returncode}:\n{said}"
            )
        return None
    status = training.status_of(process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    newest, damaged = checkpoint.find(training.out / CHECKPOINTS)
    if damaged:
        raise RuntimeError(f"a kill left a damaged checkpoint: {damaged}")
    lived, saved = round(time.perf_counter() - start, 2), int(newest.name) if newest else 0
    state, reached_steps = (status.state, status.env_steps) if status else ("starting", 0)
    return Kill(lived, state, reached_steps, saved)


def kill_and_resume(
    options: KillOptions, extra: Sequence[str]
) -> tuple[list[Kill], dict[str, bool]]:
    """The kills that happened, and whether each compared file equals the undisturbed run's."""
    unbroken, killed = trainings(options, extra)
    for training in (unbroken, killed):
        shutil.rmtree(training.out, ignore_errors=True)
    unbroken.finish()
    rng, kills = random.Random(options.seed), []
    targets = sorted(rng.randrange(options.steps) for _ in range(options.kills))
    for index, target in enumerate(targets):
        starting = index % STARTING_EVERY == STARTING_EVERY - 1
        kill = kill_at(
            killed, -1 if starting else target, rng.uniform(0.0, 5.0 if starting else AFTER_SECONDS)
        )
        if kill is None:
            break  # finished before the last kills
        kills.append(kill)
        print(describe(len(kills), kill), flush=True)
    killed.finish()
    expected, got = without_clocks(unbroken.out), without_clocks(killed.out)
    return kills, {name: expected[name] == got[name] for name in expected}


def describe(number: int, kill: Kill) -> str:
    """A kill in one line."""
    return (
        f"kill {number:2} after {kill.seconds:6.2f} s at {kill.env_steps:>7,} sim steps while "
        f"in state {kill.state:<9} newest checkpoint at {kill.checkpoint:>7,}"
    )


def main(options: KillOptions, extra: Sequence[str]) -> int:
    """Print and write the report.

    Returns 1 if a file differs or the run ended before half of the kills.
    """
    check_folder(options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    kills, equal = kill_and_resume(options, extra)
    settings = {name: value for name, value in dataclasses.asdict(options).items() if name != "out"}
    report = {
        "settings": settings,
        "extra": list(extra),
        "kills": [kill._asdict() for kill in kills],
        "equal": equal,
    }
    write_report(options.out / f"kills-{options.method}-{options.obs}.json", report)
    for name, same in equal.items():
        print(f"{name}: {'identical' if same else 'DIFFERENT'} after {len(kills)} kills")
    return 0 if all(equal.values()) and 2 * len(kills) >= options.kills else 1
