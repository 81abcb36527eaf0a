"""`python -m analysis.perf [--runs 1000 --episodes 1000]`.

Times loading large results and computing their metrics.

Writes run folders of random records, exports them with `safedreamer export`, and times in fresh
processes: start-up, loading the folders, loading the export, `metrics.scores`. Reports wall-clock
and processor seconds, medians of the repeats, and the load of the machine beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from analysis import synthetic

_TIMED = """
import time
start, cpu = time.perf_counter(), time.process_time()
{setup}
begun, cpu_begun = time.perf_counter(), time.process_time()
{work}
print(time.perf_counter() - begun, time.process_time() - cpu_begun)
"""


def timed(setup: str, work: str, repeats: int) -> dict[str, float]:
    """Median times of `work` after `setup`, over fresh processes."""
    runs = []
    for _ in range(repeats):
        code = _TIMED.format(setup=setup, work=work)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        runs.append([float(value) for value in done.stdout.split()])
    wall, cpu = (statistics.median(column) for column in zip(*runs))
    return {"seconds": round(wall, 2), "processor_seconds": round(cpu, 2)}


def measure(folder: Path, runs: int, episodes: int, repeats: int) -> dict[str, object]:
    """All measurements, with the made-up results in `folder`."""
    evaluations, eval_episodes = 10, max(1, episodes // 50)
    steps = (episodes - evaluations * eval_episodes) * synthetic.EPISODE_STEPS
    made = synthetic.results(
        methods=10,
        tasks=20,
        seeds=max(1, runs // 200),
        steps=steps,
        evaluations=evaluations,
        eval_episodes=eval_episodes,
    )
    synthetic.write(folder, made)
    export = [sys.executable, "-m", "benchmarks.cli", "export", str(folder)]
    subprocess.run(export, check=True, capture_output=True)
    load = "from analysis.read.load import load"
    parquet = folder / "records.parquet"
    return {
        "runs": len(made.runs),
        "episodes": len(made.episodes),
        "load_of_machine": round(os.getloadavg()[0], 1),
        "start": timed(
            "",
            "import analysis.commands.plot, analysis.statistics.metrics, "
            "analysis.statistics.aggregates",
            repeats,
        ),
        "folders": timed(load, f"load([{str(folder / 'runs')!r}])", repeats),
        "parquet": timed(load, f"load([{str(parquet)!r}])", repeats),
        "scores": timed(
            f"{load}\nfrom analysis.statistics.metrics import scores\nr = load([{str(parquet)!r}])",
            "scores(r)",
            repeats,
        ),
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.perf", description=__doc__.splitlines()[0]
    )
    for name, default in (("runs", 1000), ("episodes", 1000), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), args.runs, args.episodes, args.repeats), indent=1))


if __name__ == "__main__":
    main()
