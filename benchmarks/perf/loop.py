"""`python -m benchmarks.perf.loop [--out results/perf]`.

Measure simulator steps per second of whole training runs by number of environments, and the share
of wall time of each part of the loop: acting, environments, learner.

Each run is a process of `safedreamer train` with the preset's sizes. Metrics are used from the
second row with updates on, which excludes prefill and compilation.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cli.common import program
from benchmarks.perf.commands import command
from benchmarks.process.options import option
from benchmarks.runs.errors import RunFailed
from benchmarks.runs.files import METRICS_FILE
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import write_report

PROG = "python -m benchmarks.perf.loop"
PARTS = ("act", "env", "learner", "replay", "other")
PREFILL = 512  # agent steps: a sequence for each of 16 environments
LOG_EVERY = 160  # agent steps


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """Measure the throughput of training."""

    methods: tuple[str, ...] = ("bsrp_lag", "osrp_lag")
    """Methods; default: one that acts with its actor and one that plans."""
    num_envs: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Numbers of environments."""
    task: str = "SafetyPointCircle1-v0"
    """Task."""
    obs: str = "lidar"
    """Observation."""
    preset: str = "cpu"
    """Preset."""
    steps: int = 8000
    """Simulator steps of each run."""
    out: Path | None = None
    """Folder for loop.json; if not given, results are only printed."""


def train(method: str, num_envs: int, options: LoopOptions, folder: Path) -> list[dict[str, Any]]:
    """Train a run and return its metrics. Raises RunFailed if it fails."""
    settings = {
        "method": method,
        "task": options.task,
        "obs": options.obs,
        "preset": options.preset,
        "steps": options.steps,
        "out": folder,
        "loop.num-envs": num_envs,
        "loop.prefill": PREFILL,
        "loop.log-every": LOG_EVERY,
        "loop.eval-episodes": 0,
    }
    command(["train", *(word for name, x in settings.items() for word in option(name, x))])
    return [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]


def throughput(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Simulator steps per second, updates per second and shares of wall time.

    Uses the second row with updates and later ones, since the first includes compilation. Raises
    RunFailed if there are none.
    """
    learning = [row for row in rows if row["updates"]]
    if len(learning) < 2:
        raise RunFailed(f"{len(learning)} rows of metrics have updates: give more --steps")
    first, counted = learning[0], learning[1:]
    seconds = sum(row["time/total"] for row in counted)
    shares = {
        f"{part}_share": sum(row.get(f"time/{part}", 0.0) for row in counted) / seconds
        for part in PARTS
    }
    last = counted[-1]
    return {
        "env_steps_per_second": (last["env_steps"] - first["env_steps"]) / seconds,
        "updates_per_second": (last["updates"] - first["updates"]) / seconds,
        **shares,
    }


def main(options: LoopOptions) -> int:
    if options.out:
        check_folder(options.out)
    rows = []
    for method in options.methods:
        for num_envs in options.num_envs:
            with tempfile.TemporaryDirectory() as scratch:
                found = throughput(train(method, num_envs, options, Path(scratch) / "run"))
            rows.append({"method": method, "num_envs": num_envs, **found})
            shares = ", ".join(f"{part} {found[f'{part}_share']:.0%}" for part in PARTS)
            print(
                f"{method:>10}, {num_envs:>2} environments: {found['env_steps_per_second']:6.1f} "
                f"simulator steps/s, {shares}",
                flush=True,
            )
    if options.out:
        write_report(options.out / "loop.json", {"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(program(LoopOptions, main, PROG, __doc__))
