"""Measure the suite's overhead on runs of OmniSafe.

`python -m benchmarks.perf.omnisafe [--method ppo_lag] [--pairs 3]`.

Pairs of runs with the same settings, one by OmniSafe's own `Agent` on its own environment, one by
the suite without evaluations, alternate in their own processes, so that both see the same machine
load. Only training is timed, without start-up and imports; processor seconds (one thread does all
the work) hardly depend on other load.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agents.settings import replaced
from baselines.omnisafe.algorithms import ALGORITHMS
from benchmarks.cli.common import program
from benchmarks.methods import settings
from benchmarks.runs.errors import RunFailed
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import write_report
from benchmarks.runs.spec import RunSpec

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Overhead:
    """Time runs of OmniSafe alone and in the suite."""

    method: str = "ppo_lag"
    """Algorithm of the on-policy or off-policy family."""
    task: str = "SafetyPointGoal1-v0"
    """Task id."""
    steps: int = 20_000
    """Simulator steps of a run."""
    steps_per_epoch: int = 20_000
    """Simulator steps per epoch."""
    start_learning_steps: int = 1000
    """Initial steps with random actions; off-policy family only."""
    pairs: int = 3
    """Number of run pairs."""
    out: Path | None = None
    """Folder for omnisafe-METHOD.json; if not given, results are only printed."""
    only: str = ""
    """Internal: which run this child process makes."""


def run_of(chosen: Overhead) -> tuple[RunSpec, dict[str, object]]:
    """The spec of the run, without evaluations, and the settings of the algorithm it changes."""
    preset = settings(chosen.method, "lidar", "release", task=chosen.task)
    changes: dict[str, object] = {"steps_per_epoch": chosen.steps_per_epoch}
    if hasattr(preset.agent.algo_cfgs, "kl_early_stop"):
        # early stopping would give the two runs different numbers of updates
        changes["kl_early_stop"] = False
    if ALGORITHMS[chosen.method].family == "off-policy":
        changes["start_learning_steps"] = chosen.start_learning_steps
    loop = dataclasses.replace(preset.loop, eval_episodes=0)
    agent = replaced(preset.agent, {f"algo_cfgs.{name}": value for name, value in changes.items()})
    spec = RunSpec(
        chosen.method, chosen.task, "lidar", 0, chosen.steps, "release", loop, preset.replay, agent
    )
    return spec, changes


def timed(run: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """The result of `run()`, and its wall-clock and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, (time.perf_counter() - wall, time.process_time() - processor)


def by_omnisafe(chosen: Overhead) -> tuple[float, float]:
    """Seconds of OmniSafe's own training."""
    import omnisafe

    (spec, algo), row = run_of(chosen), ALGORITHMS[chosen.method]
    threads = spec.agent.train_cfgs.torch_threads
    train: dict[str, object] = {"total_steps": chosen.steps, "torch_threads": threads}
    if row.family == "off-policy":
        train["eval_episodes"] = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        agent = omnisafe.Agent(
            row.omnisafe, chosen.task, custom_cfgs={"train_cfgs": train, "algo_cfgs": algo}
        )
        return timed(agent.agent.learn)[1]


def by_the_suite(chosen: Overhead) -> tuple[float, float]:
    """Seconds of the same training in the suite, checkpoints and records included."""
    from benchmarks.envs import make_env
    from benchmarks.omnisafe import loop

    (spec, _), seconds, run = run_of(chosen), [], loop.Loop.run

    def timed_run(self: loop.Loop) -> loop.Result:
        result, took = timed(lambda: run(self))
        seconds.append(took)
        return result

    loop.Loop.run = timed_run
    with tempfile.TemporaryDirectory() as folder:
        loop.train(spec, Path(folder) / "run", functools.partial(make_env, spec.task, spec.obs, 1))
    return seconds[0]


def main(chosen: Overhead) -> int:
    """Print a line per pair and the medians; returns 0."""
    if chosen.only:
        from benchmarks.envs.compat import import_safety_gymnasium

        import_safety_gymnasium()
        run = {"omnisafe": by_omnisafe, "suite": by_the_suite}[chosen.only]
        print(json.dumps({"seconds": run(chosen)}))
        return 0
    if chosen.out:
        check_folder(chosen.out)
    load = os.getloadavg()
    found: dict[str, list[list[float]]] = {"omnisafe": [], "suite": []}
    for pair in range(chosen.pairs):
        for who in sorted(found, reverse=bool(pair % 2)):
            words = [*sys.argv[1:], "--only", who]
            command = [sys.executable, "-m", "benchmarks.perf.omnisafe", *words]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                raise RunFailed(f"the run by {who} ended with status {done.returncode}")
            found[who].append(json.loads(done.stdout.splitlines()[-1])["seconds"])
        print(
            "  ".join(
                f"{who} {rows[-1][0]:.1f} s, processor {rows[-1][1]:.1f} s"
                for who, rows in found.items()
            ),
            flush=True,
        )
    overhead = {
        kind: statistics.median(
            ours[i] / theirs[i] - 1.0
            for theirs, ours in zip(found["omnisafe"], found["suite"], strict=True)
        )
        for i, kind in enumerate(("wall clock", "processor"))
    }
    for kind, value in overhead.items():
        print(f"overhead in {kind} time: {100 * value:.1f} % (median of {chosen.pairs} pairs)")
    if chosen.out:
        what = {k: v for k, v in dataclasses.asdict(chosen).items() if k not in ("out", "only")}
        report = what | {"load_before": load, "seconds": found, "overhead": overhead}
        write_report(chosen.out / f"omnisafe-{chosen.method}.json", report)
    return 0


if __name__ == "__main__":
    sys.exit(program(Overhead, main, "python -m benchmarks.perf.omnisafe", "Time both."))
