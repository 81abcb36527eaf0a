"""The benchmark program for an accelerator.

Its processes, with stand-ins that crash and hang; its report by hand; a rehearsal of all parts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.train import read
from benchmarks.methods import METHODS
from benchmarks.perf.accelerator import launcher, training
from benchmarks.perf.accelerator.__main__ import line, with_shares
from benchmarks.perf.accelerator.jobs import FULL, NUMBERS, REHEARSAL, Job, jobs
from benchmarks.perf.accelerator.launcher import Launcher

# Behaves as the job's arguments specify; "measure" reports when it ran.
STAND_IN = """
import json, os, sys, time
args = json.loads(sys.argv[1])["args"]
if args["do"] == "crash":
    sys.stderr.write("no such card")
    os._exit(3)
if args["do"] == "raise":
    print(json.dumps({"failed": "Traceback: out of memory"}), flush=True)
    sys.exit(1)
if args["do"] == "compile for ever":
    time.sleep(600)
print(json.dumps({"ready": {"compile_seconds": 1.5}}), flush=True)
if args["do"] == "die while waiting":
    os._exit(4)
sys.stdin.readline()
if args["do"] == "measure for ever":
    time.sleep(600)
began = time.time()
time.sleep(0.2)
print(json.dumps({"done": {"began": began, "ended": time.time()}}), flush=True)
"""


def stand_in(name: str, do: str) -> Job:
    return Job(name, "a", "update", {"do": do})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run stand-ins; return the recorded row of each, in the order of recording."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(launcher, "COMMAND", [sys.executable, str(script)])

    def run(
        jobs: list[Job], prepare_seconds: float, seconds: float, parallel: int = 4
    ) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        now = time.monotonic()
        with Launcher(
            parallel, tmp_path / "logs", lambda job, row: rows.update({job.name: row})
        ) as launched:
            launched.measure(launched.prepare(jobs, now + prepare_seconds), now + seconds)
        return rows

    return run


def test_processes_prepare_side_by_side_and_are_measured_one_at_a_time(run):
    rows = run([stand_in(name, "measure") for name in "abc"], 30.0, 60.0)
    assert list(rows) == ["a", "b", "c"]
    assert all(row["state"] == "done" and row["compile_seconds"] == 1.5 for row in rows.values())
    for before, after in (("a", "b"), ("b", "c")):
        assert rows[before]["ended"] <= rows[after]["began"]


def test_a_process_that_crashes_costs_its_own_result_only(run):
    rows = run(
        [
            stand_in("a", "crash"),
            stand_in("b", "raise"),
            stand_in("c", "die while waiting"),
            stand_in("d", ""),
        ],
        30.0,
        60.0,
    )
    assert {name: row["state"] for name, row in rows.items()} == {
        "a": "failed",
        "b": "failed",
        "c": "failed",
        "d": "done",
    }
    assert rows["a"]["reason"] == "ended with status 3: no such card"
    assert rows["b"]["reason"] == "Traceback: out of memory"
    assert rows["c"]["reason"].startswith("ended with status 4")


def test_what_does_not_fit_the_time_is_named(run):
    stuck = [
        stand_in("a", "compile for ever"),
        stand_in("b", "compile for ever"),
        stand_in("c", ""),
    ]
    rows = run(stuck, 1.5, 60.0, parallel=2)
    assert [row["state"] for row in rows.values()] == ["skipped"] * 3
    assert rows["a"]["reason"].startswith("not prepared")
    assert rows["c"]["reason"] == "no time was left to prepare it"


@pytest.mark.slow
def test_a_measurement_that_hangs_ends_with_its_deadline(run):
    began = time.monotonic()
    rows = run([stand_in("a", "measure for ever"), stand_in("b", "")], 30.0, 4.0)
    assert time.monotonic() - began < 30.0
    assert rows["a"]["state"] == "failed" and rows["a"]["reason"].startswith("not measured within")
    assert rows["b"] == {
        "state": "skipped",
        "ready_seconds": rows["b"]["ready_seconds"],
        "compile_seconds": 1.5,
    } | {"reason": "ready, but no time was left to measure it"}


def test_share_of_the_peak_by_hand():
    rows = {
        "peak": {
            "name": "peak",
            "state": "done",
            "args": {},
            "peak_gflops": {"bfloat16": 800e3, "TF32": 400e3},
        },
        "u": {
            "name": "u",
            "state": "done",
            "args": {"numbers": "TF32"},
            "gflop": 2000.0,
            "median": 0.03,
            "pipelined": 0.025,
        },
        "r": {
            "name": "r",
            "state": "done",
            "args": {},
            "steps_per_second": 10.0,
            "frames_per_second": 20.0,
        },
    }
    found = with_shares(rows)
    assert found["u"]["share_of_peak"] == pytest.approx(2000.0 / 0.025 / 400e3)  # 80 of 400 TFLOP/s
    assert line(found["u"]) == "done     u: 30.00 ms, 25.00 ms pipelined, 20.0% of peak"
    assert found["r"] == rows["r"]


def test_jobs_have_names_of_their_own_and_valid_settings():
    found = jobs(FULL)
    assert len({job.name for job in found}) == len(found)
    assert {job.part for job in found} == {"a", "c"}
    for job in found:
        args = job.args
        assert args.get("method", "bsrp_lag") in METHODS
        assert set(
            [args["numbers"]] if isinstance(args.get("numbers"), str) else args.get("numbers", [])
        ) <= set(NUMBERS)
        assert args.get("preset", "cpu") in METHODS["bsrp_lag"].presets
    assert sorted(job.kind for job in jobs(REHEARSAL)) == sorted({job.kind for job in found})


@pytest.mark.parametrize("args", [training.TRAIN, training.REHEARSED_TRAIN])
def test_the_run_from_vision_has_valid_settings(args: list[str]):
    _, spec = read(args)
    assert (spec.method, spec.obs, spec.agent.dtype) == ("bsrp_lag", "vision", "bfloat16")


@pytest.mark.gl
@pytest.mark.slow
def test_a_rehearsal_goes_through_every_part(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.perf.accelerator",
        "--rehearse",
        "--minutes",
        "20",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=1500,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    rows = report["jobs"]
    assert {row["kind"] for row in rows.values()} == {"peak", "update", "act", "render", "seeds"}
    assert all(row["state"] == "done" for row in rows.values()), rows
    assert all(
        row["share_of_peak"] > 0
        for row in rows.values()
        if row["kind"] in ("update", "act", "seeds")
    )
    for row in (row for row in rows.values() if row["kind"] == "update"):
        assert row["alias_gib"] > 0.9 * (row["output_gib"]), "the state is not donated"
    seeds = rows["seeds, coordinates, 2"]
    assert seeds["updates_per_second"] == pytest.approx(2 / seeds["pipelined"])
    assert rows["render, 2 workers"]["frames_per_second"] == pytest.approx(
        2 * rows["render, 2 workers"]["steps_per_second"]
    )
    assert report["part b"]["state"] == "done"
    assert report["part b"]["last_metrics"]["env_steps"] == 400
    assert report["part b"]["film"]["state"] == "done"
