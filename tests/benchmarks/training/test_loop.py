"""The training loop on a toy task.

What is recorded, how often it updates, and that evaluation and resuming do not change training.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from agents.replay.buffer import Replay
from benchmarks.envs import Step, VectorEnv
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import read_records
from benchmarks.training.evaluation import Tally, run_episodes
from benchmarks.training.loop import Options, train
from benchmarks.training.transitions import row, row_specs
from tests.fakes.toys import (
    EPISODE_ENV_STEPS,
    ToyAgent,
    metric_rows,
    no_fault,
    run,
    steady,
    toy_env,
    toy_spec,
)


def test_a_run_leaves_whole_records(tmp_path):
    result = run(toy_spec(), tmp_path / "run")
    frame = read_records(tmp_path / "run")
    training = frame[frame["split"] == "train"]
    assert result.finished and result.env_steps == 600
    assert set(frame["run_id"]) == {toy_spec().run_id} and set(frame["method"]) == {"toy"}
    # 3 environments, 600 simulator steps, episodes of 20: 30 episodes, each counted once, in groups
    # of three
    assert list(training["episode"]) == list(range(30))
    assert list(training["env_steps"]) == [60 * (1 + i // 3) for i in range(30)]
    assert (training["agent_steps"] * 2 == training["env_steps"]).all()
    assert (frame["length"] == EPISODE_ENV_STEPS).all()
    assert training["return"].nunique() == 30 and (training["cost"] > 0).any()
    assert (frame["wall_seconds"].diff().fillna(0) >= 0).all()


def test_evaluation_repeats_the_same_episodes_and_ends_the_run(tmp_path):
    run(toy_spec(), tmp_path / "run")
    evaluated = read_records(tmp_path / "run").query("split == 'eval'")
    # every 100 of 300 agent steps (two evaluations are first possible at 102 and 201), and once at
    # the end, not twice
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


def test_batches_are_on_the_device_before_the_learner_gets_them(tmp_path):
    seen = []

    class Observed(ToyAgent):
        def update(self, state, batch, key):
            seen.append(batch)
            assert all(isinstance(value, jax.Array) for value in batch.values())
            return super().update(state, batch, key)

    result = train(toy_spec(steps=200), tmp_path / "run", toy_env, Observed, Options())
    assert len(seen) == result.updates > 10


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
    # Agent steps before each iteration: three environments, ten steps to an episode, then a row of
    # resets.
    before = [0]
    for iteration in range(115):
        before.append(before[-1] + (0 if iteration % 11 == 10 else 3))
    # 8 replayed steps per agent step, 20 per update, after 36 steps of prefill: 0.4 (agent steps -
    # 36), drawn in one iteration and used in the next.
    assert spec.loop.updates_due(300) == 105
    # iterations completed when the row was written
    iterations = [before.index(r["agent_steps"]) for r in rows]
    assert [r["updates"] for r in rows] == [
        int(max(0, before[n - 2] - 36) * 0.4 + 1e-9) for n in iterations
    ]
    assert result.updates == rows[-1]["updates"] > 100


def test_metrics_hold_means_and_where_the_time_went(tmp_path):
    run(toy_spec(), tmp_path / "run")
    rows = metric_rows(tmp_path / "run")
    assert [r["agent_steps"] for r in rows] == [51, 102, 150, 201, 252, 300, 300][: len(rows)]
    last = rows[-1]
    assert {
        "train/toy/loss",
        "act/age",
        "time/env",
        "time/act",
        "time/learner",
        "time/replay",
        "time/total",
    } <= set(rows[1])
    parts = sum(
        value for name, value in last.items() if name.startswith("time/") and name != "time/total"
    )
    assert parts == pytest.approx(last["time/total"], abs=1e-3)


def test_prefill_acts_at_random_and_does_not_learn(tmp_path):
    run(toy_spec(steps=36, prefill=36), tmp_path / "run")
    (last,) = metric_rows(tmp_path / "run")
    assert last["updates"] == 0
    assert not any(name.startswith(("train/", "act/")) for name in last)


def test_a_folder_of_another_configuration_is_refused_untouched(tmp_path):
    out = tmp_path / "run"
    run(toy_spec(steps=60), out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(
        BadInput, match=r"loop.train_ratio: there 8.0, here 9.0; seed: there 0, here 4"
    ):
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
    # two simulator steps per row, without gaps
    assert (np.diff(time, axis=1)[~first[:, 1:]] == 2).all()
    assert (batch["is_last"] == (time == EPISODE_ENV_STEPS)).all() and not batch[
        "is_terminal"
    ].any()
    assert (batch["action"][batch["is_last"]] == 0).all() and (batch["reward"][first] == 0).all()
    # reward on arriving: 2 x stride x the action of the row before
    moved = 2 * 0.25 * batch["action"][:, :-1, 0]
    np.testing.assert_allclose(
        batch["reward"][:, 1:][~first[:, 1:]], moved[~first[:, 1:]], atol=1e-6
    )
    np.testing.assert_allclose(
        np.diff(batch["observation"][..., 0], axis=1)[~first[:, 1:]],
        moved[~first[:, 1:]],
        atol=1e-6,
    )


def test_truncation_is_terminal_only_on_request():
    with VectorEnv(toy_env, 1, 0, "train", "inline") as envs:
        envs.reset()
        steps = [envs.step(np.zeros((1, 2), np.float32)) for _ in range(10)]
    for wanted in (False, True):
        assert [bool(row(s, np.zeros((1, 2)), wanted)["is_terminal"][0]) for s in steps] == [
            False
        ] * 9 + [wanted]


def test_more_episodes_than_environments_are_run_in_turns(monkeypatch):
    with VectorEnv(toy_env, 1, 0, "eval", "inline") as envs:
        agent = ToyAgent(envs.spec)
    arguments = {"run_seed": 0, "key": jax.random.key(0), "on_fault": no_fault, "workers": "inline"}
    state = agent.init(0)
    monkeypatch.setattr("benchmarks.training.evaluation.MAX_ENVS", 2)
    done = run_episodes(agent, state, toy_env, episodes=5, **arguments)
    assert [e.episode for e in done] == [0, 1, 2, 3, 4]
    assert {e.length for e in done} == {EPISODE_ENV_STEPS} and len({e.return_ for e in done}) == 5


def test_tally_by_hand():
    tally = Tally(2)

    def add(
        reward: list[float], cost: list[float], episode: list[int], last: list[bool],
        lost: tuple[bool, bool] = (False, False),
    ) -> list[tuple]:  # fmt: skip
        rewards, costs, ends, ones = *map(np.array, (reward, cost, last)), np.ones(2, np.int64)
        step = Step({}, rewards, costs, ends, ends, ends, ones, np.array(episode), np.array(lost))
        return [tuple(each) for each in tally.add(step)]

    assert add([1.0, 2.0], [0.0, 1.0], [4, 5], [False, False]) == []
    assert add([0.5, 0.5], [0.0, 2.0], [4, 5], [True, True]) == [
        (4, 1.5, 0.0, 2),
        (5, 2.5, 3.0, 2),
    ]
    assert add([7.0, 1.0], [0.0, 0.0], [6, 7], [True, False]) == [(6, 7.0, 0.0, 1)]
    # the first episode goes on, the second was lost and the next has begun in its place
    ended = add([1.0, 3.0], [1.0, 1.0], [8, 9], [True, True], lost=(False, True))
    assert ended == [(8, 1.0, 1.0, 1), (9, 3.0, 1.0, 1)]
    add([2.0, 2.0], [0.0, 0.0], [10, 11], [False, False])
    assert tally.end(np.array([True, False]), np.array([10, 11])) == [(10, 2.0, 0.0, 1)]
    assert add([1.0, 1.0], [0.0, 0.0], [12, 11], [True, True]) == [
        (12, 1.0, 0.0, 1),
        (11, 3.0, 0.0, 2),
    ]
