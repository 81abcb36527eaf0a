"""`python -m benchmarks.perf.accelerator --minutes 9 --out DIR`.

Timings, a run from vision, several seeds at once.

Compiling takes longer than measuring, so compilation overlaps with training: (b) a run from vision
trains while the processes of (a), timings of one learner and of rendering, and of (c), several
seeds in one process, compile. After the run has ended they are measured one at a time, with nothing
else running. DIR/report.json is rewritten after every result; skipped and failed parts are listed
in it with the reason.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.cli.common import program
from benchmarks.envs.factory import choose_python
from benchmarks.perf.accelerator import training
from benchmarks.perf.accelerator.jobs import FULL, REHEARSAL, Job, jobs
from benchmarks.perf.accelerator.launcher import Launcher
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import command, git_state, hardware, versions
from benchmarks.runs.writing import replace_text

PROG = "python -m benchmarks.perf.accelerator"

MEASURING = 1.0  # minutes reserved for measuring after training
LEAST_TRAINING = 1.0  # minimum minutes for training to start


@dataclasses.dataclass(frozen=True)
class AcceleratorOptions:
    """Use a few minutes of an accelerator for timings, a run from vision, and several seeds in one
    process.
    """

    out: Path
    """Folder for report.json, the run, and the output of its commands."""
    minutes: float = 9.0
    """Wall-clock limit of the whole program, in minutes."""
    parts: str = "abc"
    """Which parts: a (timings), b (training), c (several seeds)."""
    parallel: int = 0
    """Processes that compile in parallel; 0 for a quarter of the cores, leaving the rest for
    training's environments.
    """
    env_python: str | None = None
    """Interpreter for the environments; default: SAFEDREAMER_ENV_PYTHON, else this one."""
    rehearse: bool = False
    """Run every part at tiny sizes, about a minute on a CPU."""


class Program:
    """The report and the clock shared by all parts."""

    def __init__(self, options: AcceleratorOptions) -> None:
        self.options, self.begun = options, time.monotonic()
        self.lock = threading.RLock()  # the preparing thread records jobs, too
        self.sizes = REHEARSAL if options.rehearse else FULL
        self.report: dict[str, Any] = {
            "command": command(),
            "git": git_state(),
            "versions": versions(),
            # devices are reported by the jobs' processes; this one does not touch them
            "hardware": hardware(lambda: []),
            "jobs": {},
        }
        options.out.mkdir(parents=True, exist_ok=True)

    def run(self) -> int:
        """Run the requested parts.

        Returns 1 if something failed, else 0, even if something was skipped.
        """
        parallel = self.options.parallel or max(1, (os.cpu_count() or 1) // 4)
        chosen = [job for job in jobs(self.sizes) if job.part in self.options.parts]
        with (
            tempfile.TemporaryDirectory() as folder,
            Launcher(parallel, Path(folder), self.record) as launcher,
            ThreadPoolExecutor(1) as background,
        ):
            self.say(f"preparing {len(chosen)} jobs, {parallel} at once")
            reserve = MEASURING if chosen else 0.0
            prepared = background.submit(launcher.prepare, chosen, self.end - 60 * reserve)
            if "b" in self.options.parts:
                self.train(reserve)
                self.save()
            launcher.measure(prepared.result(), self.end)
        self.save()
        rows = [*self.report["jobs"].values(), self.report.get("part b")]
        states = [row["state"] for row in rows if row]
        counts = (f"{states.count(state)} {state}" for state in ("done", "failed", "skipped"))
        self.say(f"finished: {', '.join(counts)}")
        return 1 if "failed" in states else 0

    def train(self, reserve: float) -> None:
        """Run part b until `reserve` minutes before the end.

        Exceptions are recorded as its result, because the jobs do not depend on it.
        """
        minutes = (self.end - time.monotonic()) / 60 - reserve
        if minutes < LEAST_TRAINING and not self.options.rehearse:
            reason = f"{minutes:.1f} minutes were left"
            self.report["part b"] = {"state": "skipped", "reason": reason}
            return
        self.say(f"training for {minutes:.1f} minutes")
        run, rehearse = self.options.out / "run", self.options.rehearse
        try:
            found = training.train(run, minutes, rehearse, self.say)
        except Exception:  # noqa: BLE001
            self.report["part b"] = {"state": "failed", "reason": traceback.format_exc()}
            self.say(f"training failed:\n{traceback.format_exc()}")
            return
        states = [found[name]["state"] for name in ("train", "film")]
        self.report["part b"] = {"state": "failed" if "failed" in states else "done", **found}
        self.say(f"training {states[0]}, film {states[1]}")

    @property
    def end(self) -> float:
        return self.begun + 60 * self.options.minutes

    def record(self, job: Job, row: dict[str, Any]) -> None:
        with self.lock:
            self.report["jobs"][job.name] = dataclasses.asdict(job) | row
            self.report["jobs"] = with_shares(self.report["jobs"])
            self.save()
        self.say(line(self.report["jobs"][job.name]))

    def save(self) -> None:
        """Write the report atomically."""
        with self.lock:
            self.report["seconds"] = time.monotonic() - self.begun
            text = json.dumps(self.report, indent=1) + "\n"
            replace_text(self.options.out / "report.json", text)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.begun:6.1f} s] {text}", flush=True)


def with_shares(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows with FLOP/s as a share of the matmul peak of their number format, if measured."""
    peaks = next((row["peak_gflops"] for row in rows.values() if "peak_gflops" in row), {})
    shares = {
        name: row["gflop"] / row["pipelined"] / peaks[row["args"]["numbers"]]
        for name, row in rows.items()
        if peaks and "pipelined" in row
    }
    return rows | {name: rows[name] | {"share_of_peak": share} for name, share in shares.items()}


def line(row: dict[str, Any]) -> str:
    """One row as text: state, then time, memory, share of the peak and compilation, or the last
    line of the reason if it has no result.
    """
    parts = []
    if "reason" in row:
        parts.append(row["reason"].strip().rsplit("\n", 1)[-1])
    if "peak_gflops" in row:
        parts += [f"{name} {peak / 1e3:.1f} TFLOP/s" for name, peak in row["peak_gflops"].items()]
    if "median" in row:
        parts += [f"{1e3 * row['median']:.2f} ms", f"{1e3 * row['pipelined']:.2f} ms pipelined"]
    if "share_of_peak" in row:
        parts.append(f"{row['share_of_peak']:.1%} of peak")
    if "peak_gib" in row:
        parts.append(f"{row['peak_gib']:.2f} GiB")
    if "updates_per_second" in row:
        parts.append(f"{row['updates_per_second']:.1f} updates/s over all seeds")
    if "frames_per_second" in row:
        parts.append(f"{row['steps_per_second']:.0f} steps/s")
        parts.append(f"{row['frames_per_second']:.0f} frames/s")
    if "compile_seconds" in row:
        parts.append(f"traced {row['trace_seconds']:.1f} s")
        parts.append(f"compiled {row['compile_seconds']:.1f} s")
    return f"{row['state']:8} {row['name']}: {', '.join(parts)}"


def main(options: AcceleratorOptions) -> int:
    """Run the program; see the module's docstring. Returns 2 for unknown parts."""
    if unknown := set(options.parts) - set("abc"):
        print(f"unknown parts {''.join(sorted(unknown))!r}; valid: a, b, c", file=sys.stderr)
        return 2
    check_folder(options.out)
    choose_python(options.env_python)  # child processes read it from their environment
    # Several processes share the accelerator. Compiled programs are cached for later processes of
    # this invocation only.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
        return Program(options).run()


if __name__ == "__main__":
    sys.exit(program(AcceleratorOptions, main, PROG, __doc__))
