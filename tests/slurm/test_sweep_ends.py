"""`safedreamer sweep` exits with 0 only when all runs are done.

It waits for other processes, takes over dead runs and lists unfinished ones.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import slurm.child
import slurm.jobs
from benchmarks.cli import app
from benchmarks.methods.saved import load_spec
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import OWNER_FILE
from benchmarks.runs.spec_file import write_spec
from benchmarks.sweep.members import LOG_FILE, member
from slurm.drive import Drive, Retries
from slurm.executor import Job
from slurm.local import LocalExecutor
from slurm.slurm import slurm_executor
from tests.fakes import stand_in
from tests.fakes.stand_in import behave
from tests.sweep_folders import stand

SUITE = """\
preset: debug
steps: 600
seeds: [0, 1]
runs:
  - {methods: [dreamerv3], tasks: ['tests.fakes.toys:shore'], obs: default,
     settings: {loop.env_workers: inline}}
"""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """The sweep command for a suite of two runs with stand-in training.

    The run folders already exist.
    """
    monkeypatch.setattr(slurm.child, "command", stand_in.command)
    monkeypatch.setattr(slurm.jobs, "WAIT_SECONDS", 0.1)
    (tmp_path / "mine.yaml").write_text(SUITE)
    out = tmp_path / "out"

    def give(*more: str) -> int:
        return app.main(
            [
                "sweep",
                "--suite",
                str(tmp_path / "mine.yaml"),
                "--out",
                str(out),
                "--memory-gb",
                "50",
                *more,
            ]
        )

    from benchmarks.cli.defaults import task_settings
    from benchmarks.suites.reading import load
    from benchmarks.suites.suite import expand
    from benchmarks.sweep import plan, prepare

    suite = load(str(tmp_path / "mine.yaml"))
    folders = prepare.prepare(
        out, suite, plan.make_plan(suite.name, expand(suite, task_settings), [])
    )
    for folder in folders:
        stand_in.prepare(folder)
    return give, folders


def test_everything_done_is_0(sweep):
    give, folders = sweep
    assert give("--jobs", "2") == 0 and give() == 0
    assert [member(folder).state for folder in folders] == ["done"] * 2


def test_a_run_that_another_process_trains_is_waited_for(sweep, capsys):
    give, folders = sweep
    stand(folders[1], "finished", env_steps=600)
    stand(folders[0], "train")
    threading.Timer(1.5, stand, (folders[0], "finished"), {"env_steps": 600}).start()
    began = time.monotonic()
    assert give() == 0 and time.monotonic() - began > 1.0
    assert f"waiting for the process that trains it: {folders[0].name}" in capsys.readouterr().out


def test_a_run_whose_other_process_stops_is_taken_over(sweep):
    give, folders = sweep
    stand(folders[1], "finished", env_steps=600)
    stand(folders[0], "train")
    threading.Timer(1.0, stand, (folders[0], "stopped")).start()
    assert give() == 0
    assert member(folders[0]).state == "done" and (folders[0] / LOG_FILE).is_file()


def test_what_died_on_this_host_is_taken_over_at_once(sweep):
    give, folders = sweep
    stand(folders[1], "finished", env_steps=600)
    code = (
        "import os, signal, sys; from pathlib import Path; from benchmarks.runs.ownership import "
        "own\n"
    )
    code += "with own(Path(sys.argv[1])):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    subprocess.run(
        [sys.executable, "-c", code, str(folders[0])],
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert json.loads((folders[0] / OWNER_FILE).read_text())["pid"] > 0
    stand(folders[0], "train")  # its heartbeat is fresh
    assert member(folders[0]).state == "stale"
    began = time.monotonic()
    assert give() == 0 and time.monotonic() - began < 30.0
    assert member(folders[0]).state == "done"


def test_a_run_beyond_the_steps_of_the_suite_is_named_left_alone_and_the_status_is_1(sweep, capsys):
    give, folders = sweep
    spec = load_spec(folders[0])
    write_spec(folders[0], dataclasses.replace(spec, steps=900), [])
    stand(folders[0], "stopped", env_steps=750)
    assert give() == 1
    said = capsys.readouterr().out
    assert f"give it steps: 900, or choose another --out): {folders[0].name}" in said
    assert f"not done: {folders[0].name}" in said and load_spec(folders[0]).steps == 900
    assert member(folders[1]).state == "done"


def test_a_damaged_run_is_named_left_alone_and_the_status_is_1(sweep, capsys):
    give, folders = sweep
    (folders[0] / "status.json").write_bytes(b"")
    assert give() == 1
    assert f"damaged, left as it is: {folders[0].name}" in capsys.readouterr().err
    assert (folders[0] / "status.json").read_bytes() == b"" and member(folders[1]).state == "done"


def test_what_ends_without_its_steps_is_named_and_the_status_is_1(sweep, capsys):
    give, folders = sweep
    behave(folders[0], "leave")
    assert give() == 1
    assert f"not done: {folders[0].name}" in capsys.readouterr().out


def test_the_end_of_killed_children_is_recorded(sweep):
    """After a second Ctrl-C; otherwise the status would stay "running"."""
    _, folders = sweep
    behave(folders[0], "hang")
    executor = LocalExecutor(1, 10**12)
    executor.submit([Job(folders[0], folders[0].parents[1] / "code", 1)])
    executor.poll()
    (child,) = executor._running
    while not (folders[0] / "hangs").exists():
        time.sleep(0.05)
    waits = iter([KeyboardInterrupt])
    real = child.process.wait

    def wait(*args, **options):
        for error in waits:
            raise error
        return real(*args, **options)

    child.process.wait = wait
    signalled = child.process.send_signal
    # The child ignores the first signal.
    child.process.send_signal = lambda number: (
        signalled(number) if number == signal.SIGKILL else None
    )
    (ended,) = executor.close()
    assert ended.exit == -9 and executor.outstanding == 0
    Drive(executor, Retries(), lambda: True, lambda text: None)._settle(ended, closing=True)
    assert member(folders[0]).state == "failed"


def test_a_percent_sign_in_the_results_folder_is_refused_on_slurm(tmp_path):
    with pytest.raises(BadInput, match="holds a %"):
        slurm_executor(tmp_path / "50%", None, (), Retries(), None)
