"""A run that is stopped, is killed, or has damaged checkpoints ends like an unbroken one, or
reports why it cannot.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import shutil
import sys

import jax
import numpy as np
import pytest

from agents.safedreamer.agent import SafeDreamer
from benchmarks.envs import env_spec
from benchmarks.faults.process import without_clocks
from benchmarks.process.signals import Stop
from benchmarks.runs.errors import BadInput
from benchmarks.runs.provenance import provenance
from benchmarks.runs.records import read_records
from benchmarks.training.loop import Options, train
from benchmarks.training.progress import Reporter
from tests.agent_inputs import tiny
from tests.fakes.toys import Listener, Shore, StopAfter, run, steady, toy_env, toy_spec


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run(toy_spec(), out)
    return without_clocks(out)


def stop_after(iterations):
    return StopAfter(iterations)


@pytest.mark.parametrize("stops", [(1,), (10, 1, 1), (13, 34, 13, 40), (108,)])
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(tmp_path, unbroken, stops):
    for iterations in stops:
        assert not run(toy_spec(), tmp_path / "run", stop=stop_after(iterations)).finished
    assert run(toy_spec(), tmp_path / "run").finished
    assert without_clocks(tmp_path / "run") == unbroken


@pytest.mark.slow
def test_safedreamer_stopped_twice_ends_as_if_it_had_not_been(tmp_path):
    config = tiny("bsrp_lag", "coordinates")
    spec = dataclasses.replace(toy_spec(steps=240), method="bsrp_lag", agent=config)
    agent = SafeDreamer(config, env_spec(toy_env()))  # stateless: compiled once for all starts

    def start(name, stop):
        return train(spec, tmp_path / name, toy_env, lambda _: agent, Options(stop=stop))

    assert start("unbroken", Stop()).finished
    for iterations in (20, 11):
        stopped = start("run", stop_after(iterations))
        assert not stopped.finished and stopped.updates
    assert start("run", Stop()).finished
    assert without_clocks(tmp_path / "run") == without_clocks(tmp_path / "unbroken")


class StopInEvaluation(Stop, Reporter):
    """Requests a stop during the evaluation of a given number, like a signal that arrives there."""

    def __init__(self, number):
        self.number, self.asked = number, False

    def update(self, snapshot):
        if snapshot.state == "evaluate":
            self.number -= 1
            self.asked = self.number == 0

    def __call__(self):
        return self.asked


@pytest.mark.parametrize("number", [1, 2])
def test_a_run_stopped_in_an_evaluation_repeats_it_and_ends_the_same(tmp_path, unbroken, number):
    stop = StopInEvaluation(number)
    stopped = run(toy_spec(), tmp_path / "run", stop=stop, reporter=stop)
    assert not stopped.finished and stop.asked
    assert int(max((tmp_path / "run" / "checkpoints").iterdir()).name) == stopped.env_steps
    assert run(toy_spec(), tmp_path / "run").finished
    assert without_clocks(tmp_path / "run") == unbroken


# not a multiple of eval_every: the last evaluation is due only to the end of the run
ENDS_BETWEEN = toy_spec(steps=540)


@pytest.fixture(scope="module")
def unbroken_between(tmp_path_factory):
    out, count = tmp_path_factory.mktemp("unbroken") / "run", StopAfter(10**9)
    run(ENDS_BETWEEN, out, stop=count)
    return without_clocks(out), 10**9 - count.iterations


@pytest.mark.parametrize("where", ["last step", "last evaluation"])
def test_a_run_stopped_at_its_very_end_still_gets_its_last_evaluation(
    tmp_path, unbroken_between, where
):
    files, iterations = unbroken_between
    listener = StopInEvaluation(3)
    stop = listener if where == "last evaluation" else StopAfter(iterations)
    stopped = run(ENDS_BETWEEN, tmp_path / "run", stop=stop, reporter=listener)
    assert stopped.env_steps == ENDS_BETWEEN.steps and not stopped.finished
    assert run(ENDS_BETWEEN, tmp_path / "run").finished
    assert without_clocks(tmp_path / "run") == files


class Died(Exception):
    """Simulates a kill: nothing of the loop runs after it."""


@pytest.mark.parametrize(
    "where",
    [
        "benchmarks.training.loop.run_episodes",
        "benchmarks.runs.checkpoint._write",
        "benchmarks.training.loop.row",
    ],
)
@pytest.mark.parametrize("call", [1, 2, 5])
def test_a_run_that_dies_anywhere_ends_as_if_it_had_not(
    tmp_path, unbroken, monkeypatch, where, call
):
    module, name = where.rsplit(".", 1)
    original, calls = getattr(sys.modules[module], name), itertools.count(1)

    def dying(*args, **kwargs):
        result = original(*args, **kwargs)
        if next(calls) == call * (20 if name == "row" else 1):
            raise Died
        return result

    monkeypatch.setattr(where, dying)
    with contextlib.suppress(Died):
        run(toy_spec(), tmp_path / "run")
    monkeypatch.undo()
    assert run(toy_spec(), tmp_path / "run").finished
    assert without_clocks(tmp_path / "run") == unbroken


@pytest.mark.parametrize(
    "where",
    [
        "benchmarks.runs.checkpoint._write",
        "agents.replay.journal.save",
        "benchmarks.runs.records.RecordWriter.write",
    ],
)
def test_a_full_disk_is_explained_and_leaves_the_run_resumable(
    tmp_path, unbroken, monkeypatch, where
):
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    with pytest.raises(
        BadInput, match=r"no space is left in .*; its newest checkpoint is intact: free space"
    ):
        run(toy_spec(), tmp_path / "run")
    monkeypatch.undo()
    assert run(toy_spec(), tmp_path / "run").finished
    assert without_clocks(tmp_path / "run") == unbroken


def damage_newest(out):
    newest = max((out / "checkpoints").glob("[0-9]*"))
    (newest / "learner.npz").write_bytes(b"")
    return newest


def test_a_resume_with_other_cores_is_said_to_be_rounded_otherwise(tmp_path, monkeypatch):
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    listener, now = Listener(), provenance()
    run(toy_spec(), tmp_path / "run", stop=stop_after(1), reporter=listener)
    assert not listener.said
    other = {**now, "hardware": {**now["hardware"], "cores": 99}}
    monkeypatch.setattr("benchmarks.runs.folder.provenance", lambda _: other)
    run(toy_spec(), tmp_path / "run", stop=stop_after(1), reporter=listener)
    (said,) = listener.said
    assert (
        f"cores changed from {now['hardware']['cores']} to 99" in said
        and "different rounding" in said
    )


def test_a_damaged_checkpoint_is_reported_and_the_one_before_continued(tmp_path, unbroken):
    listener = Listener()
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    newest = damage_newest(tmp_path / "run")
    run(toy_spec(), tmp_path / "run", reporter=listener)
    assert without_clocks(tmp_path / "run") == unbroken
    (said,) = listener.said
    assert f"checkpoint {newest.name} is damaged (learner.npz is not what was written)" in said
    assert (newest.parent / f"damaged-{newest.name}").is_dir()


def test_the_older_checkpoint_is_continued_also_when_the_replay_was_saved_for_a_third(
    tmp_path, unbroken, monkeypatch
):
    def dying(*_, **__):
        raise Died

    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    monkeypatch.setattr("benchmarks.runs.checkpoint.save", dying)
    with pytest.raises(Died):
        run(toy_spec(), tmp_path / "run")
    monkeypatch.undo()
    damage_newest(tmp_path / "run")
    run(toy_spec(), tmp_path / "run")
    assert without_clocks(tmp_path / "run") == unbroken


def test_a_run_with_no_whole_checkpoint_is_refused_untouched(tmp_path):
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    before = (tmp_path / "run" / "episodes.csv").read_bytes()
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        (path / "meta.json").unlink()
    with pytest.raises(
        BadInput, match=r"no checkpoint of this run is intact .*meta.json is missing.*to start over"
    ):
        run(toy_spec(), tmp_path / "run")
    assert (tmp_path / "run" / "episodes.csv").read_bytes() == before


def test_an_environment_that_does_not_return_to_its_place_is_reported(tmp_path, monkeypatch):
    listener = Listener()
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    monkeypatch.setattr(
        Shore, "_observe", lambda self: np.random.default_rng().normal(size=3).astype(np.float32)
    )
    run(toy_spec(), tmp_path / "run", reporter=listener)
    assert "environments [0, 1, 2] did not return to their saved state" in listener.said[0]


def test_a_stopped_run_goes_on(tmp_path):
    stopped = run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    before = read_records(tmp_path / "run")
    assert not stopped.finished and 0 < stopped.env_steps < 600
    finished = run(toy_spec(), tmp_path / "run")
    after = read_records(tmp_path / "run")
    assert finished.finished and finished.env_steps >= 600 and finished.updates > stopped.updates
    assert after.iloc[: len(before)].equals(before)
    training = after[after["split"] == "train"]
    assert list(training["episode"]) == list(range(len(training)))  # none twice, none left out
    assert (after["wall_seconds"].diff().fillna(0) >= 0).all()
    starts = json.loads((tmp_path / "run" / "spec.json").read_text())["starts"]
    assert len(starts) == 2 and starts[0]["versions"]["jax"] == jax.__version__


def test_rows_written_after_the_checkpoint_are_dropped(tmp_path):
    out = tmp_path / "run"
    run(toy_spec(steps=300), out)
    before = (out / "episodes.csv").read_text()
    with (out / "episodes.csv").open("a") as file:
        file.write("what a killed process wrote after its checkpoint\n")
    run(toy_spec(steps=400), out)
    assert (out / "episodes.csv").read_text().startswith(before)
    assert "killed" not in (out / "episodes.csv").read_text()


def test_a_longer_budget_extends_a_run_and_an_equal_one_adds_nothing(tmp_path):
    out = tmp_path / "run"
    run(toy_spec(steps=300), out)
    before = (out / "episodes.csv").read_text()
    again = run(toy_spec(steps=300), out)
    assert again.finished and (out / "episodes.csv").read_text() == before
    assert run(toy_spec(steps=480), out).env_steps == 480


def test_a_run_without_its_first_checkpoint_starts_over(tmp_path):
    out = tmp_path / "run"
    run(toy_spec(), out)
    expected = steady(read_records(out))
    shutil.rmtree(out / "checkpoints")
    status = json.loads((out / "status.json").read_text())  # of a process killed in its first save
    loop = toy_spec().loop
    first = loop.checkpoint_every * loop.action_repeat
    status |= {"state": "save", "env_steps": first}
    (out / "status.json").write_text(json.dumps(status))
    run(toy_spec(), out)
    assert steady(read_records(out)).equals(expected)
