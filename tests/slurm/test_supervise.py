"""How a Slurm job supervises one run, without Slurm.

Uses a stand-in child for training and sends signals to this process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from submitit.helpers import DelayedSubmission

import slurm.child
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import attempts
from benchmarks.sweep.members import LOG_FILE, member
from slurm.drive import Retries
from slurm.supervise import Order, RunGaveUp, Supervisor, job_of, place
from tests.fakes import stand_in
from tests.fakes.stand_in import behave
from tests.sweep_folders import stand, submit, suite

WHERE = "slurm 7_2 on n1"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run folder with stand-in training, in the environment of a Slurm job."""
    monkeypatch.setattr(slurm.child, "command", stand_in.command)
    monkeypatch.setattr("slurm.supervise.LINGER_SECONDS", 0.0)  # Slurm does not kill these jobs
    for name, value in (
        ("SLURM_ARRAY_JOB_ID", "7"),
        ("SLURM_ARRAY_TASK_ID", "2"),
        ("SLURMD_NODENAME", "n1"),
    ):
        monkeypatch.setenv(name, value)
    found = submit(tmp_path, suite())[0]
    stand_in.prepare(found)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR2)
    yield found
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGUSR2, before[1])


def order(folder, limit=2, save_seconds=20.0):
    return Order(
        str(folder),
        str(folder.parents[1] / "code"),
        Retries(limit, delay_seconds=0.05),
        save_seconds,
    )


def kinds(folder):
    return [event.event for event in attempts.read(folder)]


class Interrupting:
    """Replaces a supervisor's `sleep`: runs an action once, when the condition first holds."""

    def __init__(self, condition, action):
        self.condition, self.action, self.done = condition, action, False

    def __call__(self, seconds):
        if not self.done and self.condition():
            self.done = True
            self.action()
        time.sleep(min(seconds, 0.05))


def test_a_run_is_seen_through(folder):
    assert Supervisor()(order(folder)) == "done"
    assert (
        kinds(folder) == ["submitted", "started", "ended"]
        and attempts.read(folder)[1].where == WHERE
    )
    assert "started from code code" in (folder / LOG_FILE).read_text()


def test_a_job_that_slurm_starts_again_after_success_does_nothing(folder):
    Supervisor()(order(folder))
    assert Supervisor()(order(folder)) == "done" and kinds(folder) == [
        "submitted",
        "started",
        "ended",
    ]


def test_crashes_are_started_again_up_to_the_limit(folder):
    behave(folder, "crash", "die", "finish")
    assert Supervisor()(order(folder)) == "done"
    assert [event.failed for event in attempts.read(folder) if event.event == "ended"] == [
        True,
        True,
        False,
    ]
    assert "SIGKILL" in attempts.read(folder)[4].reason


def test_after_the_limit_the_job_fails_too(folder):
    behave(folder, "crash", "crash", "crash")
    with pytest.raises(RunGaveUp, match="failed 3 times"):
        Supervisor()(order(folder, limit=2))
    assert kinds(folder).count("started") == 3 and member(folder).state == "failed"


def test_bad_input_is_not_tried_again(folder):
    behave(folder, "refuse")
    with pytest.raises(RunGaveUp):
        Supervisor()(order(folder))
    assert kinds(folder).count("started") == 1


def test_failures_before_a_persons_retry_are_forgiven(folder):
    for _ in range(3):
        attempts.add(folder, "ended", exit=1, failed=True)
    with pytest.raises(RunGaveUp):
        Supervisor()(order(folder))
    attempts.add(folder, "submitted")
    assert Supervisor()(order(folder)) == "done"


def test_what_another_process_trains_is_left_alone(folder):
    stand(folder, "train")
    assert Supervisor()(order(folder)) == "running" and kinds(folder) == ["submitted"]


def test_an_earlier_copy_of_the_same_job_is_waited_for(folder):
    attempts.add(folder, "started", where=WHERE)
    stand(folder, "train")
    sleep = Interrupting(lambda: True, lambda: stand(folder, "finished", env_steps=600))
    assert Supervisor(sleep)(order(folder)) == "done"
    assert sleep.done and kinds(folder) == ["submitted", "started"]


def test_a_start_that_left_no_word_counts_as_a_failure(folder):
    attempts.add(folder, "started", where=WHERE)
    stand(folder, "train", silent_seconds=1e4)
    assert Supervisor()(order(folder)) == "done"
    first = next(event for event in attempts.read(folder) if event.event == "ended")
    assert first.failed and "its node died" in first.reason


def test_a_start_of_another_job_is_not_ours_to_judge(folder):
    attempts.add(folder, "started", where="slurm 9_1 on n3")
    stand(folder, "train", silent_seconds=1e4)
    assert Supervisor()(order(folder)) == "done" and kinds(folder) == [
        "submitted",
        "started",
        "started",
        "ended",
    ]


def test_sigterm_saves_and_is_no_failure(folder):
    behave(folder, "hang")
    sleep = Interrupting((folder / "hangs").exists, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert Supervisor(sleep)(order(folder)) == "stopped"
    last = attempts.read(folder)[-1]
    assert (last.event, last.exit, last.failed, last.reason) == (
        "ended",
        EXIT_STOPPED,
        False,
        "stopped by SIGTERM",
    )
    assert member(folder).state == "waiting" and member(folder).env_steps == 50


def test_a_child_that_does_not_listen_yet_is_no_failure_either(folder):
    behave(folder, "deaf")
    supervisor = Supervisor(
        Interrupting(
            lambda: (folder / "behave").read_text() == "",
            lambda: os.kill(os.getpid(), signal.SIGTERM),
        )
    )
    assert supervisor(order(folder)) == "stopped" and member(folder).state == "waiting"


def test_a_child_that_somebody_else_stopped_is_no_failure(folder):
    behave(folder, "leave")
    assert Supervisor()(order(folder)) == "stopped" and member(folder).state == "waiting"


def test_a_cancelled_run_saves_and_ends(folder, monkeypatch):
    monkeypatch.setattr("slurm.supervise.LOOK_SECONDS", 0.1)
    behave(folder, "hang")
    sleep = Interrupting(
        (folder / "hangs").exists, lambda: attempts.add(folder, "cancelled", reason="a person")
    )
    assert Supervisor(sleep)(order(folder)) == "stopped"
    assert member(folder).state == "cancelled" and member(folder).env_steps == 50
    assert Supervisor()(order(folder)) == "cancelled" and kinds(folder).count("started") == 1


def test_before_the_time_limit_the_child_saves_and_the_same_order_is_requeued(folder):
    behave(folder, "hang")
    supervisor, delayed = Supervisor(), []

    def warned(number, frame):
        delayed.append(supervisor.checkpoint(order(folder)))
        os.kill(os.getpid(), signal.SIGUSR2)  # some Slurm versions send it twice
        sys.exit(1)

    signal.signal(signal.SIGUSR2, warned)
    supervisor._sleep = Interrupting(
        (folder / "hangs").exists, lambda: os.kill(os.getpid(), signal.SIGUSR2)
    )
    with pytest.raises(SystemExit) as left:
        supervisor(order(folder))
    assert left.value.code == 1 and len(delayed) == 1
    assert isinstance(delayed[0], DelayedSubmission) and delayed[0].args == (order(folder),)
    last = attempts.read(folder)[-1]
    assert (last.exit, last.failed) == (EXIT_STOPPED, False) and member(folder).env_steps == 50
    delayed[0].result()
    assert member(folder).state == "done"


def test_a_child_that_does_not_save_in_time_is_left_to_slurm(folder):
    supervisor = Supervisor()
    supervisor._process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); "
            "time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert supervisor._process.stdout is not None
    supervisor._process.stdout.readline()
    begun = time.monotonic()
    supervisor.checkpoint(order(folder, save_seconds=0.5))
    assert time.monotonic() - begun >= 0.5 and supervisor._process.poll() is None
    supervisor._process.kill()
    supervisor._process.wait()


def test_nothing_is_requeued_when_the_run_finished_in_the_meantime(folder):
    supervisor = Supervisor()
    supervisor._process = subprocess.Popen([sys.executable, "-c", ""])
    stand(folder, "finished", env_steps=600)
    with pytest.raises(SystemExit) as left:
        supervisor.checkpoint(order(folder))
    assert left.value.code == 0
    supervisor._process.wait()


def test_where_a_job_runs():
    assert place({"SLURM_JOB_ID": "12", "SLURMD_NODENAME": "n7"}) == "slurm 12 on n7"
    assert job_of(WHERE) == "7_2" and job_of("local, process 3") == ""


def test_the_warning_waits_until_a_child_listens(folder, monkeypatch):
    listen = (
        "from benchmarks.process.signals import OnSignal\n"
        "with OnSignal() as stop:\n"
        "    time.sleep(0.2); print(stop(), stop.name)"
    )
    monkeypatch.setattr(
        slurm.child,
        "command",
        lambda _: [sys.executable, "-c", f"import time; time.sleep(0.5)\n{listen}"],
    )
    process = slurm.child.start(
        folder, ROOT, os.environ | {"PYTHONPATH": str(ROOT)}, own_session=False
    )
    process.send_signal(signal.SIGUSR2)
    assert process.wait() == 0 and "True SIGUSR2" in (folder / LOG_FILE).read_text()
