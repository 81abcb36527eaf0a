"""`safedreamer demo`: a safe and an unsafe agent side by side, in minutes.

Trains the suite `demo` (benchmarks.cli.demo_runs), then writes curves, a table, a report and, with
OpenGL, a video of each agent on an unseen layout, and evaluates the zoo's agents of the same
methods.
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
from benchmarks.runs.errors import BadInput
from benchmarks.runs.ownership import own
from benchmarks.runs.places import check_folder

AFTER_MINUTES = 1.7  # reserved for videos, figures and report
ZOO_EPISODES = 10


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Options of `safedreamer demo`."""

    out: Path = Path("results/demo")
    """Folder for runs, curves, table and report; runs of an earlier demo are replaced."""
    minutes: float = 8.0
    """Wall-clock minutes for the whole demo."""
    seed: int = 0
    """Seed of both runs."""

    def __post_init__(self) -> None:
        if not AFTER_MINUTES < self.minutes < math.inf:
            raise BadInput(f"minutes={self.minutes} must exceed {AFTER_MINUTES} and be finite")


def main(args: Sequence[str]) -> int:
    """Train, film and plot; returns the first non-zero exit status of the analysis, or 0."""
    config = parse(
        DemoConfig,
        args,
        "safedreamer demo",
        "Train SafeDreamer's BSRP-Lag and unsafe DreamerV3 side by side for some minutes.",
    )
    check_folder(config.out)
    config.out.mkdir(parents=True, exist_ok=True)
    # the runs own their folders only after some seconds of imports
    with own(config.out, lambda text: print(text, flush=True)):
        return _demo(config)


def _demo(config: DemoConfig) -> int:
    from benchmarks.cli.demo_runs import RUNS, clear, demo_specs, train_side_by_side

    began = time.perf_counter()
    specs = demo_specs(config.seed, config.minutes - AFTER_MINUTES)
    clear(config.out, specs)
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
    play_zoo([spec.method for spec in specs], task, config.out)
    drawn = analysis.run("plot", [str(runs), *out, *title])
    reported = analysis.run("report", [str(runs), *page, *title])
    print(f"demo: done in {(time.perf_counter() - began) / 60.0:.1f} minutes")
    return drawn or reported


def film(runs: Sequence[Path]) -> None:
    """Write a video of one unseen episode to each run's folder, where the report finds it.

    Prints why if that fails.
    """
    for run, child in zip(runs, [_evaluation(str(run), 1, "--video") for run in runs], strict=True):
        lines = _lines(child)
        if child.returncode:
            print(f"no film of {run.name}: {lines[-1]}")
            continue
        print("\n".join(line for line in lines if line.startswith("wrote")))


def play_zoo(methods: Sequence[str], task: str, out: Path) -> None:
    """Evaluate policies of the zoo, which were trained for longer, on unseen layouts."""
    from benchmarks.zoo import entry

    about = {"task": task, "obs": "lidar", "seed": 0}
    wanted = [entry.entry_name(about | {"method": name}) for name in methods]
    names = [name for name in wanted if name in entry.names()]
    files = [out / f"zoo-{name.replace('/', '-')}.csv" for name in names]
    children = [
        _evaluation(f"zoo:{name}", ZOO_EPISODES, "--out", str(file))
        for name, file in zip(names, files, strict=True)
    ]
    for name, child in zip(names, children, strict=True):
        lines = _lines(child)
        mean = next((line.split() for line in lines if line.strip().startswith("mean")), [])
        said = "return {1}, cost {2}".format(*mean) if len(mean) > 2 else lines[-1]
        print(f"zoo:{name}, {ZOO_EPISODES} unseen layouts: {said}")


def _evaluation(policy: str, episodes: int, *options: str) -> subprocess.Popen[str]:
    """Start `safedreamer evaluate` on unseen layouts."""
    words = ["evaluate", policy, "--unseen", "--episodes", str(episodes), *options]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cli", *words],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _lines(child: subprocess.Popen[str]) -> list[str]:
    """Wait for the process to end; returns the lines it printed, at least one."""
    said, _ = child.communicate()
    return said.strip().splitlines() or [f"it ended with status {child.returncode}"]
