"""A sweep on this machine: parallelism, memory, GPUs, crashes, signals, cancelling.

Includes one real sweep, end to end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

import slurm.child
from benchmarks.cli import app
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import attempts
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.provenance import SNAPSHOT_FILE
from benchmarks.runs.records import CLOCK, read_records
from benchmarks.sweep.code import snapshot
from benchmarks.sweep.members import LOG_FILE, member, members
from slurm.child import FRACTION, environment
from slurm.debug import DebugExecutor
from slurm.drive import Drive, Retries
from slurm.executor import Ended, Job
from slurm.local import LocalExecutor, visible_gpus
from slurm.minicluster.processes import wait_until
from tests.fakes import stand_in
from tests.fakes.stand_in import behave
from tests.sweep_folders import stand, submit, suite

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Six run folders with stand-in training."""
    monkeypatch.setattr(slurm.child, "command", stand_in.command)
    found = submit(tmp_path, suite())
    for folder in found:
        stand_in.prepare(folder)
    return found


def jobs_of(folders, memory_bytes=1):
    return [Job(folder, folder.parents[1] / "code", memory_bytes) for folder in folders]


def drive(executor, retries=Retries(), stop=lambda: False):
    said: list[str] = []
    return Drive(executor, retries, stop, said.append, sleep=lambda _: time.sleep(0.02)), said


def test_at_most_n_at_a_time_and_everything_once(folders):
    executor = LocalExecutor(jobs=2, memory_bytes=100)
    running = []
    sweep, said = drive(
        executor, stop=lambda: running.append(sum(member(f).state == "running" for f in folders))
    )
    sweep.run(jobs_of(folders))
    assert max(running) == 2
    assert [member(folder).state for folder in folders] == ["done"] * 6
    assert [[event.event for event in attempts.read(folder)] for folder in folders] == [
        ["submitted", "started", "ended"]
    ] * 6
    assert sweep.failed == [] and len(said) == 6


def test_memory_limits_what_runs_together(folders):
    for folder in folders:
        behave(folder, "hang")
    executor = LocalExecutor(jobs=6, memory_bytes=100)
    executor.submit([*jobs_of(folders[:2], 60), *jobs_of(folders[2:4], 20)])
    executor.poll()
    started = [folder for folder in folders if (folder / LOG_FILE).is_file()]
    assert started == [folders[0], folders[2], folders[3]]
    executor.close()


def test_gpus_take_turns(folders):
    for folder in folders[:4]:
        behave(folder, "hang")
    executor = LocalExecutor(jobs=4, memory_bytes=100, gpus=("0", "1"))
    executor.submit(jobs_of(folders[:4]))
    executor.poll()
    assert wait_until(
        lambda: all("gpu" in (folder / LOG_FILE).read_text() for folder in folders[:4]), 20.0
    )
    assert ["gpu 0" in (folder / LOG_FILE).read_text() for folder in folders[:4]] == [
        True,
        False,
        True,
        False,
    ]
    assert {ended.exit for ended in executor.close()} == {EXIT_STOPPED}


@pytest.mark.parametrize(
    ("jobs", "gpus", "share"), [(1, 2, 1.0), (2, 2, 1.0), (3, 2, 0.5), (4, 2, 0.5), (5, 2, 1 / 3)]
)
def test_the_runs_of_a_gpu_never_claim_more_than_its_memory(
    folders, monkeypatch, jobs, gpus, share
):
    started = []

    def remembered(code, base, gpu, share):
        started.append((gpu, share))
        return environment(code, base, gpu, share)

    monkeypatch.setattr(slurm.child, "environment", remembered)
    executor = LocalExecutor(jobs, memory_bytes=100, gpus=tuple(map(str, range(gpus))))
    executor.submit(jobs_of(folders[:jobs]))
    executor.poll()
    executor.close()
    assert [each for _, each in started] == [share] * jobs
    assert max(sum(part for gpu, part in started if gpu == name) for name in "01") <= 1.0


def test_runs_that_share_a_gpu_share_its_memory(tmp_path):
    assert environment(tmp_path, {}, "1", 0.5)[FRACTION] == "0.45"
    assert FRACTION not in environment(tmp_path, {}, "1", 1.0)
    assert environment(tmp_path, {FRACTION: "0.3"}, "1", 0.5)[FRACTION] == "0.3"
    assert (
        environment(tmp_path, {"PYTHONPATH": "mine"})["PYTHONPATH"] == f"{tmp_path}{os.pathsep}mine"
    )


@pytest.mark.parametrize(
    ("value", "expected"), [("", ()), ("3", ("3",)), ("0, GPU-1", ("0", "GPU-1"))]
)
def test_gpus_are_those_that_are_visible(value, expected):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": value}) == expected


def test_a_crashed_run_is_started_again_up_to_the_limit_and_its_log_shown(folders):
    behave(folders[0], "crash", "crash")
    behave(folders[1], "die", "die")
    sweep, said = drive(LocalExecutor(2, 100), Retries(limit=1, delay_seconds=0.1))
    sweep.run(jobs_of(folders[:3]))
    assert set(sweep.failed) == set(folders[:2])
    assert [sum(e.event == "started" for e in attempts.read(folder)) for folder in folders[:3]] == [
        2,
        2,
        1,
    ]
    final = next(
        text for text in said if text.startswith("failed for good") and folders[0].name in text
    )
    assert "after 2 starts" in final and final.endswith("    the gears are stuck")
    assert member(folders[1]).state == "failed" and "SIGKILL" in member(folders[1]).reason()


def test_a_stopped_sweep_has_its_children_save(folders):
    for folder in folders:
        behave(folder, "hang")
    executor = LocalExecutor(2, 100)
    sweep, said = drive(
        executor, stop=lambda: sum(member(f).status is not None for f in folders) == 2
    )
    sweep.run(jobs_of(folders))
    assert [member(folder).state for folder in folders] == ["waiting"] * 6
    assert [member(folder).env_steps for folder in folders[:2]] == [50, 50]
    assert executor.outstanding == 0 and all("stopped" in text for text in said)
    assert sweep.failed == []


def test_a_cancelled_run_ends_and_the_others_go_on(folders):
    behave(folders[0], "hang")
    executor = LocalExecutor(1, 100)

    def cancel_once_running():
        if member(folders[0]).state == "running":
            attempts.add(folders[0], "cancelled", reason="a person")
            attempts.add(folders[1], "cancelled")

    sweep, _ = drive(executor, stop=cancel_once_running)
    sweep.run(jobs_of(folders[:3]))
    assert [member(folder).state for folder in folders[:3]] == ["cancelled", "cancelled", "done"]
    assert member(folders[0]).status.state == "stopped" and member(folders[1]).status is None


def test_a_cancelled_run_is_not_tried_again(folders):
    attempts.add(folders[0], "cancelled")
    executor = Scripted()
    sweep, _ = drive(executor, Retries(limit=3, delay_seconds=0.0))
    sweep._settle(Ended(jobs_of(folders)[0], 1, "exit status 1"))
    sweep.run([])
    assert (
        executor.submitted == [] and sweep.failed == [] and member(folders[0]).state == "cancelled"
    )


def test_what_another_process_runs_or_finished_is_left_alone(folders):
    stand(folders[0], "train")
    stand(folders[1], "finished", env_steps=600)
    sweep, said = drive(LocalExecutor(2, 100))
    sweep.run(jobs_of(folders[:2]))
    assert not (folders[0] / LOG_FILE).exists() and not (folders[1] / LOG_FILE).exists()
    assert sorted(text.split(":")[0] for text in said) == ["done elsewhere", "running elsewhere"]


def test_runs_that_a_killed_sweep_command_left_behind_count(folders):
    stand(folders[0], "train")
    executor = LocalExecutor(2, 100, beside=folders[:1])
    executor.submit(jobs_of(folders[1:4]))
    for folder in folders[1:4]:
        behave(folder, "hang")
    executor.poll()
    assert [(folder / LOG_FILE).is_file() for folder in folders[1:4]] == [True, False, False]
    stand(folders[0], "stopped")
    executor.poll()
    assert [(folder / LOG_FILE).is_file() for folder in folders[1:4]] == [True, True, False]
    executor.close()


class Scripted:
    """An executor whose jobs end at once, with the given exit statuses."""

    def __init__(self, *exits):
        self.exits, self.waiting, self.submitted = deque(exits), [], []
        self.poll_seconds, self.depends = 0.5, False

    @property
    def outstanding(self):
        return len(self.waiting)

    def submit(self, jobs):
        self.waiting += jobs
        self.submitted += jobs

    def poll(self):
        ended, self.waiting = (
            [Ended(job, self.exits.popleft(), "exit status") for job in self.waiting],
            [],
        )
        return ended

    def cancel(self, folders):
        raise AssertionError

    def close(self):
        return []


def drive_with_clock(executor, retries, folder):
    slept = []
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds
        slept.append(seconds)

    sweep = Drive(
        executor, retries, lambda: False, lambda _: None, clock=lambda: now[0], sleep=sleep
    )
    sweep.run(jobs_of([folder]))
    return sweep, sum(slept)


def test_each_start_waits_longer_than_the_one_before(folders):
    executor = Scripted(1, 1, 1, 1)
    sweep, seconds = drive_with_clock(
        executor, Retries(limit=3, delay_seconds=10.0, max_delay_seconds=15.0), folders[0]
    )
    assert len(executor.submitted) == 4 and sweep.failed == folders[:1]
    assert 10 + 15 + 15 <= seconds <= 10 + 15 + 15 + 3


def test_bad_input_is_not_tried_again(folders):
    executor = Scripted(2)
    sweep, _ = drive_with_clock(executor, Retries(limit=3), folders[0])
    assert len(executor.submitted) == 1 and sweep.failed == folders[:1]


def test_a_run_that_another_process_took_is_no_failure(folders):
    stand(folders[0], "train")
    sweep, _ = drive_with_clock(Scripted(2), Retries(limit=3), folders[0])
    assert sweep.failed == [] and member(folders[0]).state == "running"


def test_debug_runs_in_process_one_after_another(folders):
    seen = []

    def run(folder):
        seen.append(folder)
        stand(folder, "finished", env_steps=600)
        return 0

    sweep, _ = drive(DebugExecutor(run))
    sweep.run(jobs_of(folders[:3]))
    assert seen == folders[:3] and [member(folder).state for folder in seen] == ["done"] * 3


def test_a_signal_ends_a_debug_sweep(folders):
    sweep, _ = drive(DebugExecutor(lambda folder: stand(folder, "stopped") or EXIT_STOPPED))
    sweep.run(jobs_of(folders[:3]))
    assert [member(folder).status is None for folder in folders[:3]] == [False, True, True]


def test_a_snapshot_is_the_code_as_it_was(tmp_path):
    root = tmp_path / "checkout"
    for name in (
        "agents/a.py",
        "benchmarks/suites/b.yaml",
        "benchmarks/__pycache__/b.pyc",
        "tests/test_a.py",
        "results/r.csv",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("one")
    first = snapshot(tmp_path, root)
    assert snapshot(tmp_path, root) == first
    (root / "agents/a.py").write_text("two")
    second = snapshot(tmp_path, root)
    assert second != first and (first / "agents/a.py").read_text() == "one"
    found = {str(path.relative_to(second)) for path in second.rglob("*") if path.is_file()}
    assert found == {"agents/a.py", "benchmarks/suites/b.yaml", SNAPSHOT_FILE}
    assert json.loads((second / SNAPSHOT_FILE).read_text())["snapshot"] == second.name
    assert sorted(path.name for path in (tmp_path / "code").iterdir()) == sorted(
        [first.name, second.name]
    )


@pytest.mark.slow
def test_a_real_sweep_stops_continues_and_equals_a_run_by_hand(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "preset: debug\n"
        "steps: 400\n"
        "seeds: [1]\n"
        "runs:\n"
        "  - methods: [sac]\n"
        "    tasks: ['tests.fakes.toys:slow_shore']\n"
        "    settings: {loop.env_workers: inline, loop.train_ratio: 1, loop.log_every: 50}\n"
    )
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = ["sweep", "--suite", str(file), "--out", str(out)]
    command = [sys.executable, "-m", "benchmarks.cli", *arguments]
    pace = tmp_path / "pace"
    pace.write_text("0.05")  # the run must not finish before the signal
    first = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment | {"SHORE_PACE": str(pace)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert wait_until(lambda: any(out.glob("runs/*/status.json")), 120.0)
    first.send_signal(signal.SIGTERM)
    shown, _ = first.communicate(timeout=120)
    assert (
        first.returncode == EXIT_STOPPED and "SIGTERM: stopped; the same command continues" in shown
    )
    assert [m.state for m in members(out)] == ["waiting"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = members(out)
    assert found.state == "done"
    starts = [
        start["git"] for start in json.loads((found.folder / SPEC_FILE).read_text())["starts"]
    ]
    assert {git["snapshot"] for git in starts} == {
        next((out / "code").iterdir()).name
    }  # not the checkout in the current folder
    by_hand = tmp_path / "by-hand"
    line = (
        "--method sac --task tests.fakes.toys:slow_shore --preset debug --steps 400 --seed 1 "
        "--loop.env-workers inline"
    )
    assert (
        app.main(
            [
                "train",
                *line.split(),
                "--loop.train-ratio",
                "1",
                "--loop.log-every",
                "50",
                "--out",
                str(by_hand),
            ]
        )
        == 0
    )
    left, right = (
        read_records(folder).drop(columns=list(CLOCK)) for folder in (found.folder, by_hand)
    )
    assert left.equals(right) and len(left) > 0
    capsys.readouterr()
    assert app.main(arguments) == 0
    assert (
        "1 runs (1 done)" in capsys.readouterr().out and attempts.read(found.folder) == found.events
    )
