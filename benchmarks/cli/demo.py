"""`safedreamer demo`: a safe and an unsafe agent side by side, in minutes.

Trains the suite `demo` (benchmarks.cli.demo_runs), then curves, a table, a report, and a film of
each agent on a layout that it has not seen, where there is OpenGL.
"""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import analysis
from benchmarks.cli.common import parse
from benchmarks.runs.places import check_folder
from benchmarks.runs.spec import BadInput

AFTER_MINUTES = 1.5  # kept for films, figures and report


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """How much time the demo takes, and where its results go."""

    out: Path = Path("results/demo")
    """Folder for runs, curves, table and report; runs that an earlier demo left are replaced."""
    minutes: float = 8.0
    """Wall-clock minutes for everything."""
    seed: int = 0
    """Seed of both runs."""

    def __post_init__(self) -> None:
        if not AFTER_MINUTES < self.minutes < math.inf:
            raise BadInput(f"minutes={self.minutes} must exceed {AFTER_MINUTES} and be finite")
        if self.seed < 0:
            raise BadInput(f"seed={self.seed} must not be negative")


def main(args: Sequence[str]) -> int:
    """Train, draw, film; returns the first exit status of the analysis that is not 0, or 0."""
    config = parse(
        DemoConfig,
        args,
        "safedreamer demo",
        "Train SafeDreamer's BSRP-Lag and unsafe DreamerV3 side by side for some minutes.",
    )
    from benchmarks.cli.demo_runs import RUNS, clear, demo_specs, train_side_by_side

    began = time.perf_counter()
    specs = demo_specs(config.seed, config.minutes - AFTER_MINUTES)
    check_folder(config.out)
    clear(config.out, [spec.method for spec in specs])
    task = specs[0].task
    print(
        f"demo: {' and '.join(spec.method for spec in specs)} on {task}, about "
        f"{config.minutes:g} minutes, results in {config.out}",
        flush=True,
    )
    runs = config.out / RUNS
    train_side_by_side(specs, runs)
    out = ["--out", str(config.out)]
    title = ["--title", f"Demo: {task}, {config.minutes:g} minutes"]
    page = ["--out", str(config.out / "report.html")]
    film([runs / spec.method for spec in specs])
    drawn = analysis.run("plot", [str(runs), *out, *title])
    reported = analysis.run("report", [str(runs), *page, *title])
    print(f"demo: done in {(time.perf_counter() - began) / 60.0:.1f} minutes")
    return drawn or reported


def film(runs: Sequence[Path]) -> None:
    """A video of one unseen episode into each run's folder, where the report finds it; one line
    says why where there is none.
    """
    processes = []
    for run in runs:
        command = [sys.executable, "-m", "benchmarks.cli", "evaluate", str(run), "--unseen"]
        options = ["--episodes", "1", "--video"]
        processes.append(
            subprocess.Popen(
                [*command, *options],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for run, process in zip(runs, processes, strict=True):
        said, _ = process.communicate()
        lines = said.strip().splitlines() or ["nothing was said"]
        if process.returncode:
            print(f"no film of {run.name}: {lines[-1]}")
            continue
        print("\n".join(line for line in lines if line.startswith("wrote")))
