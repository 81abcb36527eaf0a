"""status.json: its content in every state of a run, atomic writes, and heartbeats."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.files import STATUS_FILE
from benchmarks.runs.status import StatusFile, estimated_end, read_status
from benchmarks.sweep.members import file_clock, modified
from benchmarks.training.loop import Options, train
from benchmarks.training.progress import Reporter
from tests.fakes.toys import ToyAgent, toy_env, toy_spec


class Reading(Reporter):
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
    with pytest.raises(BadInput, match=r"status.json is damaged \(it lacks run_id\)"):
        read_status(tmp_path)


def test_the_estimated_end_is_a_time():
    assert estimated_end(None) is None
    left = datetime.fromisoformat(estimated_end(3600.0)) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.parametrize(
    "number", [errno.ESTALE, errno.EIO, errno.EACCES, errno.ENOTCONN, errno.ETIMEDOUT]
)
def test_a_file_system_that_is_away_for_a_moment_ends_nothing(tmp_path, number):
    failing = [OSError(number, "away")] * 3
    beats = []

    def beat():
        beats.append(1)
        if failing:
            raise failing.pop()

    with StatusFile(
        tmp_path, toy_spec(), beat_seconds=0.02, on_beat=beat, patience_seconds=5.0
    ) as status:
        while len(beats) < 6:
            time.sleep(0.02)
        status.check()
        before = (tmp_path / STATUS_FILE).stat().st_mtime_ns
        time.sleep(0.2)
        assert (tmp_path / STATUS_FILE).stat().st_mtime_ns > before  # heartbeats resume


def test_a_file_system_that_stays_away_fails_the_run_with_the_reason(tmp_path):
    away = [True]

    def beat():
        if away:
            raise OSError(errno.ESTALE, "Stale file handle")

    with (
        pytest.raises(
            RunFailed, match=r"could not be read or written for 0.1 s .*Stale file handle"
        ),
        StatusFile(
            tmp_path, toy_spec(), beat_seconds=0.02, on_beat=beat, patience_seconds=0.1
        ) as status,
    ):
        time.sleep(0.5)
        away.clear()
        status.check()
    assert read_status(tmp_path).state == "failed" and "Stale file handle" in (
        read_status(tmp_path).last_error or ""
    )


def test_a_status_that_cannot_be_written_does_not_end_the_heartbeat(tmp_path, monkeypatch):
    real, failing = os.replace, [True]

    def replace(source, target):
        if failing:
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    with StatusFile(tmp_path, toy_spec(), beat_seconds=0.02, patience_seconds=5.0) as status:
        monkeypatch.setattr("benchmarks.runs.status.os.replace", replace)
        monkeypatch.setattr(
            type(tmp_path),
            "unlink",
            lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EIO, "again")),
        )
        status.update(env_steps=7)
        time.sleep(0.2)
        monkeypatch.undo()
        failing.clear()
        time.sleep(0.2)
        status.check()
        assert read_status(tmp_path).env_steps == 7


def test_the_same_command_on_a_finished_run_keeps_its_return_and_cost(tmp_path):
    train(toy_spec(steps=200), tmp_path / "run", toy_env, ToyAgent)
    first = read_status(tmp_path / "run")
    train(toy_spec(steps=200), tmp_path / "run", toy_env, ToyAgent)
    again = read_status(tmp_path / "run")
    names = (
        "state",
        "env_steps",
        "updates",
        "train_return",
        "train_cost",
        "eval_return",
        "eval_cost",
    )
    assert first.eval_return is not None
    assert [getattr(again, name) for name in names] == [getattr(first, name) for name in names]
