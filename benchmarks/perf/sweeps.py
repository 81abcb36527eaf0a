"""`python -m benchmarks.perf.sweeps [--slurm] [--out results/perf]`.

Time the commands on a sweep of 1,000 runs.

Makes the run folders of 1,000 seeds as a sweep command does, gives each a status and 1,000
episodes, and times the commands `status` and `export`, process start and imports included. With
--slurm, submits 1,000 jobs that wait to the cluster of SLURM_CONF and cancels them afterwards;
measures the seconds of the sweep command and counts calls of Slurm's commands by stand-ins on the
PATH. Results are medians of the repeats.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cli.common import program
from benchmarks.cli.defaults import task_settings
from benchmarks.perf.commands import command
from benchmarks.runs.files import RECORDS_FILE, STATUS_FILE
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import write_report
from benchmarks.runs.records import EVAL, TRAIN, EpisodeRecord, RecordWriter
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.status import StatusFile
from benchmarks.suites.reading import parse
from benchmarks.suites.suite import expand
from benchmarks.sweep.plan import make_plan
from benchmarks.sweep.prepare import prepare
from benchmarks.training.episodes import Episode

COMMANDS = ("sbatch", "squeue", "scancel", "sinfo", "scontrol")
EPISODE_STEPS = 1000


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Time the commands on large sweeps."""

    runs: int = 1000
    """Runs, one per seed."""
    episodes: int = 1000
    """Recorded episodes per run."""
    repeats: int = 3
    """Repeats of each command."""
    slurm: bool = False
    """Also submit to the cluster of SLURM_CONF."""
    scratch: Path = Path(tempfile.gettempdir())
    """Folder for the runs; removed afterwards."""
    out: Path | None = None
    """Folder for sweeps.json; if not given, results are only printed."""


def suite_text(runs: int) -> str:
    """The text of a suite of `runs` runs that differ by seed."""
    seeds = ", ".join(map(str, range(runs)))
    return (
        "preset: debug\n"
        f"steps: {runs * EPISODE_STEPS}\n"
        f"seeds: [{seeds}]\n"
        "runs:\n"
        "  - methods: [bsrp_lag]\n"
        "    tasks: [SafetyPointGoal1-v0]\n"
        "    obs: lidar\n"
    )


def fill(folder: Path, spec: RunSpec, episodes: int) -> None:
    """Write the files of a run with `episodes` finished episodes, one in ten from evaluation."""
    steps = episodes * EPISODE_STEPS
    status = dataclasses.replace(
        StatusFile(folder, spec)._status,
        state="finished",
        env_steps=steps,
        total_env_steps=steps,
        eval_return=1.0,
        eval_cost=0.5,
    )
    (folder / STATUS_FILE).write_text(json.dumps(dataclasses.asdict(status)), encoding="utf-8")
    with RecordWriter(folder / RECORDS_FILE) as writer:
        for index in range(episodes):
            split = EVAL if index % 10 == 9 else TRAIN
            done = (index + 1) * EPISODE_STEPS
            episode = Episode(index, 1.25, 3.0, EPISODE_STEPS)
            writer.write(EpisodeRecord.of(spec, split, episode, done, done, index / 10))


def timed(arguments: Sequence[str], repeats: int, variables: Mapping[str, str]) -> dict[str, float]:
    """Median wall-clock and processor seconds of a command. Raises RunFailed if it fails."""
    walls, processors = [], []
    for _ in range(repeats):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command(arguments, variables)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {
        "seconds": round(statistics.median(walls), 2),
        "processor_seconds": round(statistics.median(processors), 2),
    }


def counting(folder: Path) -> Path:
    """Make a folder of stand-ins for Slurm's commands that log every call in `calls` and run the
    real ones.
    """
    shims = folder / "bin"
    shims.mkdir()
    for name in COMMANDS:
        real = shutil.which(name)
        (shims / name).write_text(
            f'#!/bin/sh\necho {name} >> {folder}/calls\nexec {real} "$@"\n', encoding="utf-8"
        )
        (shims / name).chmod(0o755)
    return shims


def submission(folder: Path, suite: Path, repeats: int) -> dict[str, Any]:
    """Seconds and calls of submitting the suite, and of repeating the command when all jobs are
    queued.
    """
    variables = {**os.environ, "PATH": f"{counting(folder)}{os.pathsep}{os.environ['PATH']}"}
    later = ["--cluster", "slurm", "--detach"]
    later += ["--slurm", "sbatch={begin: now+7days}", "memory_gb=1", "time=60"]
    results = []
    for index in range(repeats):
        out = folder / f"submitted-{index}"
        words = ["sweep", "--suite", str(suite), "--out", str(out), *later]
        (folder / "calls").write_text("")
        first = timed(words, 1, variables)["seconds"]
        calls = Counter((folder / "calls").read_text().split())
        again = timed(words, 1, variables)["seconds"]
        results.append((first, again, calls))
        names = ",".join(path.name for path in (out / "slurm").glob("safedreamer-*"))
        subprocess.run(["scancel", f"--name={names}"], check=True)
    seconds, again, calls = zip(*results, strict=True)
    return {
        "submit_seconds": statistics.median(seconds),
        "again_seconds": statistics.median(again),
        "calls": dict(calls[-1]),
    }


def measure(options: SweepOptions, folder: Path) -> dict[str, Any]:
    """Make all measurements in one folder."""
    suite = folder / "large.yaml"
    suite.write_text(suite_text(options.runs), encoding="utf-8")
    parsed = parse(suite.read_text(encoding="utf-8"), "large", suite.name)
    out = folder / "results"
    entries = expand(parsed, task_settings)
    for path, entry in zip(
        prepare(out, parsed, make_plan("large", entries, [])), entries, strict=True
    ):
        fill(path, entry.spec, options.episodes)
    result: dict[str, Any] = {"runs": options.runs, "episodes_per_run": options.episodes}
    for name, words in {
        "status": ["status", str(out)],
        "status_equal_progress": ["status", str(out), "--equal-progress"],
        "export": ["export", str(out), "--out", str(folder / "all.parquet")],
        "dry_run_paper20": ["sweep", "--suite=paper20", "--dry-run", f"--out={folder / 'none'}"],
    }.items():
        result[name] = timed(words, options.repeats, os.environ)
        print(name, result[name], flush=True)
    if options.slurm:
        result["slurm"] = submission(folder, suite, options.repeats)
    return result


def main(options: SweepOptions) -> int:
    check_folder(options.scratch, "--scratch")
    if options.out:
        check_folder(options.out)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="sweeps-", dir=options.scratch) as folder:
        result = measure(options, Path(folder))
    result["load_before"] = round(load, 1)
    print(json.dumps(result, indent=1))
    if options.out:
        write_report(options.out / "sweeps.json", result)
    return 0


if __name__ == "__main__":
    sys.exit(program(SweepOptions, main, "python -m benchmarks.perf.sweeps", __doc__))
