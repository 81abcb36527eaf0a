"""Train the runs of the suite `demo` side by side, each in its own process on one core, and show
their progress.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.live import Live
from rich.table import Table

from benchmarks.cli.defaults import task_settings
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.identity import diff
from benchmarks.runs.ownership import own
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.runs.spec_file import read_spec
from benchmarks.runs.status import Status, read_status
from benchmarks.suites.reading import load
from benchmarks.suites.suite import expand
from benchmarks.sweep.logs import tail
from benchmarks.sweep.members import LOG_FILE
from benchmarks.sweep.prepare import freeze

SUITE = "demo"
RUNS = "runs"
POLL_SECONDS = 1.0
LINE_SECONDS = 20.0  # between lines if stdout is not a terminal
# Two runs with a thread for every core would wait for one another.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def demo_specs(seed: int, minutes: float) -> list[RunSpec]:
    """The runs of the suite with this seed, each for at most `minutes` of wall clock."""
    return [
        dataclasses.replace(entry.spec, seed=seed, max_minutes=minutes)
        for entry in expand(load(SUITE), task_settings)
    ]


class Training(NamedTuple):
    """A run and its process."""

    spec: RunSpec
    folder: Path
    process: subprocess.Popen[bytes]


def train_side_by_side(specs: Sequence[RunSpec], runs: Path) -> None:
    """Train each spec in `runs`/METHOD in its own process; returns when all have ended.

    Ctrl-C and SIGTERM stop them all. Raises RunFailed, with the end of its log, if one fails.
    """
    with contextlib.ExitStack() as stack:
        terminated = stack.enter_context(_sigterm())
        started = [stack.enter_context(_started(spec, runs / spec.method)) for spec in specs]
        show = stack.enter_context(_table() if sys.stdout.isatty() else _lines())
        while not terminated and any(each.process.poll() is None for each in started):
            time.sleep(POLL_SECONDS)
            show([(each.spec, _status(each.folder)) for each in started])
    if terminated:
        raise SystemExit(128 + signal.SIGTERM)  # the status that a shell reports
    for each in started:
        if each.process.returncode:
            last = " / ".join(tail(each.folder / LOG_FILE, 3))
            raise RunFailed(
                f"{each.spec.method} failed (exit status {each.process.returncode}): "
                f"{one_line(last, 300)}; all of it is in {each.folder / LOG_FILE}"
            )


@contextlib.contextmanager
def _sigterm() -> Iterator[list[int]]:
    """Collect SIGTERM instead of dying from it, which would leave the processes running."""
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: caught.append(number))
    try:
        yield caught
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _started(spec: RunSpec, folder: Path) -> Iterator[Training]:
    """Start a process that trains `spec`; it is stopped when the context ends."""
    folder.mkdir(parents=True)
    freeze(folder, spec)
    command = [sys.executable, "-m", "benchmarks.cli", "run", str(folder), "--here"]
    with (folder / LOG_FILE).open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **ONE_THREAD, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
        )
    try:
        yield Training(spec, folder, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _status(folder: Path) -> Status | None:
    try:
        return read_status(folder)
    except BadInput:  # not written yet
        return None


Show = Callable[[Sequence[tuple[RunSpec, Status | None]]], None]


def cells(spec: RunSpec, status: Status | None) -> tuple[str, ...]:
    """Method, simulator steps, steps per second, return and cost in training, and of the last
    evaluation.
    """
    if status is None or not status.env_steps:
        return (spec.method, "starting: compiles", "", "", "")

    def pair(mean_return: float | None, cost: float | None) -> str:
        return "" if mean_return is None or cost is None else f"{mean_return:.1f} at {cost:.1f}"

    return (
        spec.method,
        f"{status.env_steps:,}",
        f"{status.env_steps_per_second:.0f}",
        pair(status.train_return, status.train_cost),
        pair(status.eval_return, status.eval_cost),
    )


HEADINGS = ("method", "simulator steps", "per second", "training", "evaluation")


@contextlib.contextmanager
def _table() -> Iterator[Show]:
    """A table on the terminal, redrawn in place."""
    with Live(refresh_per_second=2) as live:

        def show(rows: Sequence[tuple[RunSpec, Status | None]]) -> None:
            table = Table(*HEADINGS, title="return at cost")
            for spec, status in rows:
                table.add_row(*cells(spec, status))
            live.update(table)

        yield show


@contextlib.contextmanager
def _lines() -> Iterator[Show]:
    """A line per run every LINE_SECONDS."""
    next_line = time.monotonic() + LINE_SECONDS

    def show(rows: Sequence[tuple[RunSpec, Status | None]]) -> None:
        nonlocal next_line
        if time.monotonic() < next_line:
            return
        next_line = time.monotonic() + LINE_SECONDS
        for spec, status in rows:
            method, steps, speed, training, evaluation = cells(spec, status)
            parts = [f"{steps} simulator steps", f"{speed}/s"] if speed else [steps]
            named = {"training": training, "evaluation": evaluation}
            parts += [f"{name} {pair}" for name, pair in named.items() if pair]
            print(f"{method}: {', '.join(parts)}", flush=True)

    yield show


def clear(out: Path, specs: Sequence[RunSpec]) -> None:
    """Remove the runs of an earlier demo: those of `specs`, whatever their seed and minutes.

    Raises BadInput if the folder holds anything else that could be lost, or if one still trains.
    """
    runs = out / RUNS
    if not os.path.lexists(runs):
        return
    if runs.is_symlink() or not runs.is_dir():
        raise BadInput(f"{runs} is a link or a file, which no demo wrote: choose another --out")
    of_demo = {spec.method: spec for spec in specs}
    strange = [path.name for path in runs.iterdir() if not _is_of(path, of_demo.get(path.name))]
    if strange:
        raise BadInput(
            f"{runs} holds {', '.join(sorted(strange))}, which no demo wrote: choose another --out"
        )
    with contextlib.ExitStack() as stack:
        for folder in sorted(runs.iterdir()):
            stack.enter_context(own(folder))
        shutil.rmtree(runs)


def _is_of(folder: Path, spec: RunSpec | None) -> bool:
    """Whether a demo wrote the folder: its settings, but for the seed, are those of `spec`, and its
    minutes are limited.
    """
    if spec is None or folder.is_symlink() or not (folder / SPEC_FILE).is_file():
        return False
    saved = read_spec(folder)["spec"]
    limited = saved.get("max_minutes") is not None
    return limited and diff(saved, to_dict(spec)).keys() <= {"seed"}
