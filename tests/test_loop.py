"""The training loop on a toy task: what is recorded, how often it learns, that evaluation and resuming leave training alone."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import signal
import sys

import gymnasium
import jax
import numpy as np
import pytest

from agents.replay import Replay
from benchmarks.envs import VectorEnv, make_env
from benchmarks.evaluate import Tally, run_episodes
from benchmarks.faults.process import without_clocks
from benchmarks.loop import Options, train
from benchmarks.progress import Silent
from benchmarks.records import read_records
from benchmarks.signals import Stop
from benchmarks.spec import BadInput, RunFailed
from benchmarks.status import read_status
from benchmarks.transitions import row, row_specs
from tests.toys import EPISODE_ENV_STEPS, Shore, ToyAgent, toy_env, toy_spec


def run(spec, out, **options):
    return train(spec, out, toy_env, ToyAgent, Options(**options))


def metric_rows(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def steady(frame, split="train"):
    """Records without the clock."""
    return frame[frame["split"] == split].drop(columns="wall_seconds").reset_index(drop=True)


def test_a_run_leaves_whole_records(tmp_path):
    result = run(toy_spec(), tmp_path / "run")
    frame = read_records(tmp_path / "run")
    training = frame[frame["split"] == "train"]
    assert result.finished and result.env_steps == 600
    assert set(frame["run_id"]) == {toy_spec().run_id} and set(frame["method"]) == {"toy"}
    # 3 environments, 600 simulator steps, episodes of 20: 30 episodes, each counted once, in groups of three
    assert list(training["episode"]) == list(range(30))
    assert list(training["env_steps"]) == [60 * (1 + i // 3) for i in range(30)]
    assert (training["agent_steps"] * 2 == training["env_steps"]).all()
    assert (frame["length"] == EPISODE_ENV_STEPS).all()
    assert training["return"].nunique() == 30 and (training["cost"] > 0).any()
    assert (frame["wall_seconds"].diff().fillna(0) >= 0).all()


def test_evaluation_repeats_the_same_episodes_and_ends_the_run(tmp_path):
    run(toy_spec(), tmp_path / "run")
    evaluated = read_records(tmp_path / "run").query("split == 'eval'")
    # every 100 of 300 agent steps (two evaluations are first possible at 102 and 201), and once at the end, not twice
    assert list(evaluated["env_steps"]) == [204, 204, 402, 402, 600, 600]
    assert list(evaluated["episode"]) == [0, 1] * 3


def test_evaluation_leaves_training_as_it_was(tmp_path):
    results = {}
    for name, episodes in (("without", 0), ("with", 2)):
        out = tmp_path / name
        run(toy_spec(eval_episodes=episodes), out)
        newest = max((out / "checkpoints").iterdir())
        with np.load(newest / "learner.npz") as state:
            results[name] = {key: state[key].tobytes() for key in state.files}
        results[name]["records"] = steady(read_records(out)).drop(columns="run_id").to_csv()
    assert results["with"] == results["without"]


def test_two_runs_are_equal_and_two_seeds_are_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(toy_spec(seed), tmp_path / name)
    a, b, c = (steady(read_records(tmp_path / name)) for name in "abc")
    assert a.equals(b)
    assert (a["return"] != c["return"]).all()


def test_updates_follow_the_train_ratio(tmp_path):
    spec = toy_spec()
    result = run(spec, tmp_path / "run")
    rows = metric_rows(tmp_path / "run")
    # Agent steps before each iteration: three environments, ten steps to an episode, then a row of resets.
    before = [0]
    for iteration in range(115):
        before.append(before[-1] + (0 if iteration % 11 == 10 else 3))
    # 8 replayed steps per agent step, 20 per update, after 36 steps of prefill: 0.4 (agent steps - 36), drawn in one
    # iteration and used in the next.
    assert spec.loop.updates_due(300) == 105
    iterations = [before.index(r["agent_steps"]) for r in rows]  # that were over when the row was written
    assert [r["updates"] for r in rows] == [int(max(0, before[n - 2] - 36) * 0.4 + 1e-9) for n in iterations]
    assert result.updates == rows[-1]["updates"] > 100


def test_metrics_hold_means_and_where_the_time_went(tmp_path):
    run(toy_spec(), tmp_path / "run")
    rows = metric_rows(tmp_path / "run")
    assert [r["agent_steps"] for r in rows] == [51, 102, 150, 201, 252, 300, 300][: len(rows)]
    last = rows[-1]
    assert {"train/toy/loss", "act/age", "time/env", "time/act", "time/learner", "time/replay", "time/total"} <= set(rows[1])
    parts = sum(value for name, value in last.items() if name.startswith("time/") and name != "time/total")
    assert parts == pytest.approx(last["time/total"], abs=1e-3)


def test_prefill_acts_at_random_and_does_not_learn(tmp_path):
    run(toy_spec(steps=36, prefill=36), tmp_path / "run")
    (last,) = metric_rows(tmp_path / "run")
    assert last["updates"] == 0
    assert not any(name.startswith(("train/", "act/")) for name in last)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run(toy_spec(), out)
    return without_clocks(out)


class StopAfter(Stop):
    def __init__(self, iterations):
        self.iterations = iterations

    def __call__(self):
        return self.iterations <= 0

    def iterated(self, seconds):
        self.iterations -= 1


def stop_after(iterations):
    return StopAfter(iterations)


@pytest.mark.parametrize(
    ("stops", "workers"),
    [((1,), "inline"), ((10, 1, 1), "inline"), ((13, 34, 13, 40), "inline"), ((108,), "inline"), ((40,), "process")],
)
def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(tmp_path, unbroken, stops, workers):
    spec = toy_spec(env_workers=workers)
    for iterations in stops:
        assert not run(spec, tmp_path / "run", stop=stop_after(iterations)).finished
    assert run(spec, tmp_path / "run").finished
    files = without_clocks(tmp_path / "run")
    assert files["metrics.jsonl"] == unbroken["metrics.jsonl"]
    assert files["episodes.csv"].replace(spec.run_id.encode(), toy_spec().run_id.encode()) == unbroken["episodes.csv"]


class Died(Exception):
    """Stands for a kill: nothing of the loop after it runs."""


@pytest.mark.parametrize("where", ["benchmarks.loop.run_episodes", "benchmarks.checkpoint._write", "benchmarks.loop.row"])
@pytest.mark.parametrize("call", [1, 2, 5])
def test_a_run_that_dies_anywhere_ends_as_if_it_had_not(tmp_path, unbroken, monkeypatch, where, call):
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
    "where", ["benchmarks.checkpoint._write", "agents.replay_journal.save", "benchmarks.records.RecordWriter.write"]
)
def test_a_full_disk_is_explained_and_leaves_the_run_resumable(tmp_path, unbroken, monkeypatch, where):
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(where, full)
    with pytest.raises(BadInput, match=r"no space is left in .*; its newest checkpoint is whole: free space"):
        run(toy_spec(), tmp_path / "run")
    monkeypatch.undo()
    assert run(toy_spec(), tmp_path / "run").finished
    assert without_clocks(tmp_path / "run") == unbroken


def damage_newest(out):
    newest = max((out / "checkpoints").glob("[0-9]*"))
    (newest / "learner.npz").write_bytes(b"")
    return newest


class Listener(Silent):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_a_damaged_checkpoint_is_reported_and_the_one_before_continued(tmp_path, unbroken):
    listener = Listener()
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    newest = damage_newest(tmp_path / "run")
    run(toy_spec(), tmp_path / "run", reporter=listener)
    assert without_clocks(tmp_path / "run") == unbroken
    (said,) = listener.said
    assert f"checkpoint {newest.name} is damaged (learner.npz is not what was written)" in said
    assert (newest.parent / f"damaged-{newest.name}").is_dir()


def test_a_run_with_no_whole_checkpoint_is_refused_untouched(tmp_path):
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    before = (tmp_path / "run" / "episodes.csv").read_bytes()
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        (path / "meta.json").unlink()
    with pytest.raises(BadInput, match=r"no checkpoint of this run is whole .*meta.json is missing.*to start over"):
        run(toy_spec(), tmp_path / "run")
    assert (tmp_path / "run" / "episodes.csv").read_bytes() == before


def test_an_environment_that_does_not_return_to_its_place_is_reported(tmp_path, monkeypatch):
    listener = Listener()
    run(toy_spec(), tmp_path / "run", stop=stop_after(60))
    monkeypatch.setattr(Shore, "_observe", lambda self: np.random.default_rng().normal(size=3).astype(np.float32))
    run(toy_spec(), tmp_path / "run", reporter=listener)
    assert "environments [0, 1, 2] did not return to where they were" in listener.said[0]


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
    for folder in (out / "checkpoints").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    run(toy_spec(), out)
    assert steady(read_records(out)).equals(expected)


def test_a_folder_of_another_configuration_is_refused_untouched(tmp_path):
    out = tmp_path / "run"
    run(toy_spec(steps=60), out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(BadInput, match=r"loop.train_ratio: there 8.0, here 9.0; seed: there 0, here 4"):
        run(toy_spec(seed=4, train_ratio=9.0), out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("dear")
    with pytest.raises(BadInput, match="not empty"):
        run(toy_spec(), tmp_path / "other")


def test_minutes_bound_a_run_that_still_evaluates(tmp_path):
    result = run(toy_spec(steps=10**9), tmp_path / "run", max_minutes=0.05)
    assert not result.finished and len(result.evaluation) == 2
    frame = read_records(tmp_path / "run")
    assert frame["split"].iloc[-1] == "eval" and frame["env_steps"].iloc[-1] == result.env_steps
    assert frame["wall_seconds"].max() < 20


def test_the_agent_hears_of_training_episodes_only(tmp_path):
    run(toy_spec(), tmp_path / "run")
    training = read_records(tmp_path / "run").query("split == 'train'")
    with np.load(max((tmp_path / "run" / "checkpoints").iterdir()) / "learner.npz") as state:
        assert state[".episodes"] == len(training) == 30
        assert state[".cost_sum"] == training["cost"].sum()


def test_rows_keep_order_and_meaning_from_environment_to_batch():
    with VectorEnv(toy_env, 2, 0, "train", "inline") as envs:
        replay = Replay(row_specs(envs.spec), 400, 2)
        step, rng = envs.reset(), np.random.default_rng(0)
        for _ in range(40):
            actions = rng.uniform(-1, 1, (2, 2)).astype(np.float32)
            replay.add(row(step, actions, truncation_is_terminal=False))
            step = envs.step(actions)
    batch = replay.sample(16, 25, np.random.default_rng(1))
    time, first = batch["observation"][..., 2], batch["is_first"]
    assert (time[first] == 0).all() and first.any()
    assert (np.diff(time, axis=1)[~first[:, 1:]] == 2).all()  # two simulator steps per row, nothing between
    assert (batch["is_last"] == (time == EPISODE_ENV_STEPS)).all() and not batch["is_terminal"].any()
    assert (batch["action"][batch["is_last"]] == 0).all() and (batch["reward"][first] == 0).all()
    # reward on arriving: 2 x stride x the action of the row before
    moved = 2 * 0.25 * batch["action"][:, :-1, 0]
    np.testing.assert_allclose(batch["reward"][:, 1:][~first[:, 1:]], moved[~first[:, 1:]], atol=1e-6)
    np.testing.assert_allclose(np.diff(batch["observation"][..., 0], axis=1)[~first[:, 1:]], moved[~first[:, 1:]], atol=1e-6)


def test_truncation_is_terminal_only_on_request():
    with VectorEnv(toy_env, 1, 0, "train", "inline") as envs:
        envs.reset()
        steps = [envs.step(np.zeros((1, 2), np.float32)) for _ in range(10)]
    for wanted in (False, True):
        assert [bool(row(s, np.zeros((1, 2)), wanted)["is_terminal"][0]) for s in steps] == [False] * 9 + [wanted]


def test_more_episodes_than_environments_are_run_in_turns(monkeypatch):
    with VectorEnv(toy_env, 1, 0, "eval", "inline") as envs:
        agent = ToyAgent(envs.spec)
    arguments = {"run_seed": 0, "key": jax.random.key(0), "workers": "inline"}
    state = agent.init(0)
    monkeypatch.setattr("benchmarks.evaluate.MAX_ENVS", 2)
    done = run_episodes(agent, state, toy_env, episodes=5, **arguments)
    assert [e.episode for e in done] == [0, 1, 2, 3, 4]
    assert {e.length for e in done} == {EPISODE_ENV_STEPS} and len({e.return_ for e in done}) == 5


def test_tally_by_hand():
    tally = Tally(2)
    no, both = np.array([False, False]), np.array([True, True])
    ones = np.array([1, 1])
    assert tally.add(np.array([1.0, 2.0]), np.array([0.0, 1.0]), ones, no, np.array([4, 5])) == []
    first, second = tally.add(np.array([0.5, 0.5]), np.array([0.0, 2.0]), ones, both, np.array([4, 5]))
    assert tuple(first) == (4, 1.5, 0.0, 2)
    assert tuple(second) == (5, 2.5, 3.0, 2)
    (again,) = tally.add(np.array([7.0, 1.0]), np.zeros(2), ones, np.array([True, False]), np.array([6, 7]))
    assert tuple(again) == (6, 7.0, 0.0, 1)


class StopInEvaluation(Stop, Silent):
    """Asks for the end in the evaluation of a given number, as a signal would that arrives there."""

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


class Brittle(Shore):
    """Breaks in the middle of every third episode of its own."""

    def reset(self, **options):
        self.episodes = getattr(self, "episodes", -1) + 1
        return super().reset(**options)

    def step(self, action):
        if self.steps == 8 and int(self.np_random.bit_generator.state["state"]["state"]) % 3 == 0:
            raise OSError("the bridge is out")
        return super().step(action)


def brittle_env():
    return make_env("tests.test_loop:brittle", "default", 2)


def brittle():
    return gymnasium.wrappers.TimeLimit(Brittle(), EPISODE_ENV_STEPS)


def test_lost_episodes_are_recorded_and_training_goes_on(tmp_path):
    listener = Listener()
    result = train(toy_spec(), tmp_path, brittle_env, ToyAgent, Options(reporter=listener, max_env_faults=100))
    assert result.finished
    faults = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    assert {fault["split"] for fault in faults} == {"train", "eval"}
    assert all(fault["lost"] and "the bridge is out" in fault["reason"] for fault in faults)
    assert all(fault["agent_steps"] == 5 for fault in faults)  # the fifth action met it
    training = read_records(tmp_path).query("split == 'train'")
    lost = {fault["episode"] for fault in faults if fault["split"] == "train"}
    assert lost and not lost & set(training["episode"])
    assert (training["length"] == EPISODE_ENV_STEPS).all()  # nothing of a lost episode is counted with another
    assert any("environment" in said and "the episode is lost: OSError: the bridge is out" in said for said in listener.said)


def test_too_many_lost_environments_end_the_run_with_the_reason(tmp_path):
    with pytest.raises(RunFailed, match=r"3 environment workers failed, more than --max-env-faults 2 (.|\n)*the bridge is out"):
        train(toy_spec(), tmp_path, brittle_env, ToyAgent, Options(max_env_faults=2))
    assert "the bridge is out" in (read_status(tmp_path).last_error or "")
    assert len((tmp_path / "faults.jsonl").read_text().splitlines()) == 3


def test_a_worker_killed_in_training_changes_nothing(tmp_path, monkeypatch):
    """Out of memory is the usual cause; the episode is played again up to where it was."""
    spec = toy_spec(env_workers="process", eval_episodes=0, steps=240)
    run(spec, tmp_path / "whole")
    original = VectorEnv.step

    def step(self, actions):
        calls[0] += 1
        if calls[0] in (7, 22):
            os.kill(self._workers[calls[0] % 3].pid, signal.SIGKILL)
        return original(self, actions)

    calls = [0]
    monkeypatch.setattr(VectorEnv, "step", step)
    run(spec, tmp_path / "killed")
    assert without_clocks(tmp_path / "killed") == without_clocks(tmp_path / "whole")
    faults = [json.loads(line) for line in (tmp_path / "killed" / "faults.jsonl").read_text().splitlines()]
    assert [(fault["env"], fault["lost"]) for fault in faults] == [(1, False), (1, False)]
