"""The demo: four methods on the real SafetyPointGoal1 with coordinates, one after another.

Then curves and a table.

It shows that everything works on this machine, not what the methods can do: that takes an hour
each. Each method gets an equal share of the time that is left. Agents are those of the preset
`cpu`; only prefill and evaluations are shorter.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.methods import settings
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.places import check_folder
from benchmarks.runs.spec import BadInput, RunSpec
from benchmarks.training.launch import launch
from benchmarks.training.loop import Options
from benchmarks.training.progress import reporter

METHODS = ("osrp", "osrp_lag", "bsrp_lag", "dreamerv3")
TASK, OBS = "SafetyPointGoal1-v0", "coordinates"
REPORT_MINUTES = 0.5  # kept for drawing the figures and for what a run does after its time is up
MIN_MINUTES = 0.1  # per method, when those before it took longer than planned
RUNS = "runs"


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """How much time the demo takes, and where its results go."""

    out: Path = Path("results/demo")
    """Folder for runs, curves and table; what an earlier demo left there is replaced."""
    minutes: float = 7.0
    """Wall-clock minutes for everything."""
    steps: int = 60_000
    """Simulator steps per method at most; a slow machine ends earlier, by the clock."""
    seed: int = 0
    """Seed of all runs."""

    def __post_init__(self) -> None:
        if not self.minutes > REPORT_MINUTES:
            raise BadInput(f"minutes={self.minutes} must exceed {REPORT_MINUTES}")
        if self.steps < 1:
            raise BadInput(f"steps={self.steps} must be positive")
        if self.seed < 0:
            raise BadInput(f"seed={self.seed} must not be negative")


def demo_spec(method: str, config: DemoConfig) -> RunSpec:
    """The preset `cpu` with a short prefill and short, frequent evaluations."""
    chosen = settings(method, OBS, "cpu")
    loop = dataclasses.replace(
        chosen.loop,
        prefill=600,
        eval_every=1000,
        eval_episodes=3,
        log_every=400,
        checkpoint_every=1_000_000,
    )
    return RunSpec(
        method, TASK, OBS, config.seed, config.steps, "cpu", loop, chosen.replay, chosen.agent
    )


def run_demo(config: DemoConfig, report: Callable[[Path], None]) -> None:
    """Train the methods under `config.out`/runs, then call `report` with that folder.

    Raises BadInput as `clear` does, or where nothing can be written.
    """
    began = time.perf_counter()
    check_folder(config.out)
    clear(config.out)
    print(
        f"demo: {len(METHODS)} methods on {TASK} ({OBS}), about {config.minutes:g} minutes, "
        f"results in {config.out}",
        flush=True,
    )
    for index, name in enumerate(METHODS):
        left = config.minutes - REPORT_MINUTES - (time.perf_counter() - began) / 60.0
        minutes = max(MIN_MINUTES, left / (len(METHODS) - index))
        live = reporter(f"[{index + 1}/{len(METHODS)}] {name}", every_seconds=10.0)
        try:
            launch(
                demo_spec(name, config),
                config.out / RUNS / name,
                Options(max_minutes=minutes, reporter=live),
            )
        finally:
            live.close()
    report(config.out / RUNS)
    print(f"demo: done in {(time.perf_counter() - began) / 60.0:.1f} minutes")


def clear(out: Path) -> None:
    """Remove the runs of an earlier demo.

    Raises BadInput when the folder holds anything else that could be lost.
    """
    runs = out / RUNS
    if runs.is_dir():
        strange = [
            path.name
            for path in runs.iterdir()
            if path.name not in METHODS or not (path / SPEC_FILE).is_file()
        ]
        if strange:
            raise BadInput(
                f"{runs} holds {', '.join(sorted(strange))}, which no demo wrote: choose "
                "another --out"
            )
        shutil.rmtree(runs)
