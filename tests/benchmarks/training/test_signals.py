"""Signals end a run with a checkpoint and an exit status of its own.

A second Ctrl-C ends it at once; a loop that does not return, as while compiling, is ended too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.process.signals import EXIT_AT_ONCE, EXIT_STOPPED, HEARD, OnSignal, Stop
from benchmarks.runs import checkpoint
from benchmarks.runs.status import read_status
from slurm.minicluster.processes import wait_until

TRAIN = [
    sys.executable,
    "-m",
    "benchmarks.cli",
    "train",
    "--method",
    "sac",
    "--task",
    "tests.fakes.toys:shore",
    "--preset",
    "debug",
]
TRAIN += [
    "--loop.env-workers",
    "inline",
    "--steps",
    "1e7",
    "--loop.checkpoint-every",
    "1e6",
    "--out",
]


class Ended(Exception):
    pass


def test_nobody_asks_by_default():
    stop = Stop()
    with stop.saving():
        stop.iterated(1.0)
    assert not stop()


@pytest.mark.parametrize("number", HEARD)
def test_the_first_signal_asks_for_the_end(number):
    before = signal.getsignal(number)
    with OnSignal() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert wait_until(stop, 10.0)
        assert stop.name == signal.Signals(number).name
    assert signal.getsignal(number) is before


def test_a_second_interrupt_ends_at_once_but_a_second_request_of_the_scheduler_does_not():
    ended = []
    with OnSignal(end=ended.append) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait_until(stop, 10.0)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        assert not ended
        os.kill(os.getpid(), signal.SIGINT)
        assert wait_until(lambda: bool(ended), 10.0)
    assert ended == [EXIT_AT_ONCE]


def test_a_loop_that_does_not_come_back_is_ended_unless_it_saves_or_is_always_slow():
    ended = []
    with OnSignal(grace_seconds=0.2, end=ended.append) as stop:
        stop.iterated(0.8)  # iterations take this long, so grace is 1.5 * 0.8 = 1.2 s
        with stop.saving():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert wait_until(stop, 10.0)
            time.sleep(1.5)
            assert not ended
        assert wait_until(lambda: bool(ended), 10.0)
    assert ended == [EXIT_STOPPED]
    with OnSignal(grace_seconds=0.2, end=ended.append) as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert wait_until(stop, 10.0)
    time.sleep(0.5)
    assert ended == [EXIT_STOPPED]  # a loop that ended in time is left alone


@pytest.mark.slow
def test_a_training_process_saves_and_says_so(tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*TRAIN, str(out)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert wait_until(
        lambda: (out / "metrics.jsonl").is_file() and (out / "metrics.jsonl").stat().st_size > 0,
        120.0,
    )
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == EXIT_STOPPED
    assert "SIGTERM: saving after this step" in stderr and "Traceback" not in stderr
    assert "stopped; the same command continues it" in stdout
    status = read_status(out)
    assert status.state == "stopped" and status.env_steps > 0
    newest, damaged = checkpoint.find(out / "checkpoints")
    assert newest is not None and int(newest.name) == status.env_steps and not damaged


def test_a_second_interrupt_ends_a_process_at_once():
    program = (
        "import time; from benchmarks.process.signals import OnSignal\n"
        "with OnSignal(): print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "SIGINT: saving after this step; Ctrl-C ends at once\n"
        process.send_signal(signal.SIGINT)
        assert (
            process.stderr.read()
            == "ended at once; the same command continues from the last checkpoint\n"
        )
    assert process.returncode == EXIT_AT_ONCE
