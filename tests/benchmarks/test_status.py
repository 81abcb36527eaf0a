"""status.json: what it says in every state of a run, whole at every moment, and who is alive."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.runs.files import STATUS_FILE
from benchmarks.runs.heartbeat import file_clock, modified
from benchmarks.runs.spec import BadInput
from benchmarks.runs.status import StatusFile, estimated_end, read_status
from benchmarks.training.loop import Options, train
from benchmarks.training.progress import Silent
from tests.fakes.toys import ToyAgent, toy_env, toy_spec


class Reading(Silent):
    """Reads the status file whenever the loop reports."""

    def __init__(self, out):
        self.out, self.states = out, []

    def update(self, snapshot):
        self.states.append((snapshot.state, read_status(self.out)))


def test_a_run_says_where_it_stands_and_how_it_ended(tmp_path):
    reading = Reading(tmp_path / "run")
    train(toy_spec(), tmp_path / "run", toy_env, ToyAgent, Options(reporter=reading))
    assert {"evaluate", "save", "finished"} <= {state for state, _ in reading.states}
    status = read_status(tmp_path / "run")
    assert (status.state, status.env_steps, status.total_env_steps, status.seed) == (
        "finished",
        600,
        600,
        0,
    )
    assert status.updates > 0 and status.env_steps_per_second > 0 and status.last_error is None
    assert status.eval_return is not None and status.train_cost is not None and status.ended
    middle = reading.states[len(reading.states) // 2][1]
    assert 0 < middle.env_steps < 600 and not middle.ended
    assert middle.heartbeat >= middle.started and middle.host and middle.pid


def test_an_error_is_kept(tmp_path):
    def broken(env):
        raise ArithmeticError("the gears are stuck")

    with pytest.raises(ArithmeticError):
        train(toy_spec(), tmp_path / "run", toy_env, broken)
    status = read_status(tmp_path / "run")
    assert (status.state, status.last_error) == ("failed", "the gears are stuck")


def test_the_heart_beats_without_the_loop_and_stops_with_it(tmp_path):
    beats = []
    with StatusFile(
        tmp_path, toy_spec(), beat_seconds=0.05, on_beat=lambda: beats.append(time.monotonic())
    ):
        time.sleep(0.5)
    count = len(beats)
    assert count >= 3
    time.sleep(0.2)
    assert len(beats) == count


def test_what_a_heartbeat_meets_reaches_the_loop_and_ends_the_writing(tmp_path):
    def lost():
        raise KeyError("the folder is another's")

    with StatusFile(tmp_path, toy_spec(), beat_seconds=0.05, on_beat=lost) as status:
        time.sleep(0.3)
        with pytest.raises(KeyError):
            status.check()
        before = (tmp_path / STATUS_FILE).read_bytes()
        status.update(env_steps=7)
    assert (tmp_path / STATUS_FILE).read_bytes() == before


def test_a_reader_never_sees_half_a_file(tmp_path):
    with StatusFile(tmp_path, toy_spec(), beat_seconds=0.001) as status:
        done = threading.Event()

        def write():
            for step in range(300):
                status.update(env_steps=step)
            done.set()

        threading.Thread(target=write).start()
        while not done.is_set():
            read_status(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [STATUS_FILE]


def test_every_heartbeat_dates_the_file_by_its_file_system(tmp_path):
    long_ago = file_clock(tmp_path) - 1000
    with StatusFile(tmp_path, toy_spec(), beat_seconds=0.05):
        os.utime(tmp_path / STATUS_FILE, (long_ago, long_ago))
        time.sleep(0.5)
        assert 0 <= file_clock(tmp_path) - modified(tmp_path / STATUS_FILE) < 10
        assert not read_status(tmp_path).ended
    assert modified(tmp_path / "nothing") == float("-inf")


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"has no status.json"):
        read_status(tmp_path)
    (tmp_path / STATUS_FILE).write_text(json.dumps({"state": "train"}))
    with pytest.raises(BadInput, match=r"status.json cannot be read"):
        read_status(tmp_path)


def test_the_estimated_end_is_a_time():
    assert estimated_end(None) is None
    left = datetime.fromisoformat(estimated_end(3600.0)) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
