"""Environments that fail in a run: replaced, recorded, counted."""

from __future__ import annotations

import json
import re

import gymnasium
import jax
import pytest

from benchmarks.cli import evaluate
from benchmarks.envs import WorkerError, env_spec, make_env
from benchmarks.runs.errors import RunFailed
from benchmarks.runs.records import read_records
from benchmarks.runs.status import read_status
from benchmarks.training.evaluation import run_episodes
from benchmarks.training.loop import Options, train
from benchmarks.zoo.trained import Trained
from tests.fakes.toys import EPISODE_ENV_STEPS, Listener, Shore, ToyAgent, toy_spec


class Brittle(Shore):
    """Fails in the middle of about every third episode, by the state of its generator."""

    def step(self, action):
        if self.steps == 8 and int(self.np_random.bit_generator.state["state"]["state"]) % 3 == 0:
            raise OSError("the bridge is out")
        return super().step(action)


def brittle_env():
    return make_env("tests.benchmarks.envs.test_faults:brittle", "default", 2)


def brittle():
    return gymnasium.wrappers.TimeLimit(Brittle(), EPISODE_ENV_STEPS)


class Sinking(Shore):
    """Fails in the middle of its first episode; no later episode can start."""

    sunk = False

    def reset(self, **options):
        if Sinking.sunk:
            raise OSError("no shore in sight")
        return super().reset(**options)

    def step(self, action):
        if self.steps == 8:
            Sinking.sunk = True
            raise OSError("the tide came in")
        return super().step(action)


def sinking_env():
    return make_env("tests.benchmarks.envs.test_faults:sinking", "default", 2)


def sinking():
    return gymnasium.wrappers.TimeLimit(Sinking(), EPISODE_ENV_STEPS)


def test_lost_episodes_are_recorded_and_training_goes_on(tmp_path):
    listener = Listener()
    result = train(
        toy_spec(), tmp_path, brittle_env, ToyAgent, Options(reporter=listener, max_env_faults=100)
    )
    assert result.finished
    faults = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    assert {fault["split"] for fault in faults} == {"train", "eval"}
    assert all(fault["lost"] and "the bridge is out" in fault["reason"] for fault in faults)
    assert all(fault["agent_steps"] == 5 for fault in faults)  # the fifth action triggered it
    training = read_records(tmp_path).query("split == 'train'")
    lost = {fault["episode"] for fault in faults if fault["split"] == "train"}
    assert lost and not lost & set(training["episode"])
    # no step of a lost episode counts towards another
    assert (training["length"] == EPISODE_ENV_STEPS).all()
    assert any(
        "environment" in said and "the episode is lost: OSError: the bridge is out" in said
        for said in listener.said
    )


def test_an_evaluation_says_which_episodes_it_lost(tmp_path, monkeypatch, capsys):
    env = env_spec(brittle_env())
    monkeypatch.setattr("benchmarks.training.launch.environment", lambda spec: (brittle_env, env))
    monkeypatch.setattr(
        "benchmarks.training.launch.trained_agent",
        lambda *_: (ToyAgent(env), ToyAgent(env).init(0)),
    )
    out = tmp_path / "records.csv"
    policy = evaluate.Policy(Trained(toy_spec(), tmp_path, 600, 300))
    evaluate.run(policy, out, episodes=10, workers="inline")
    said = capsys.readouterr()
    line = (
        r"safedreamer evaluate: .* in eval episode (\d+), step 5; "
        r"the episode is lost: OSError: the bridge is out"
    )
    heard = re.findall(line, said.err)
    # environments also begin episodes beyond those requested
    lost = {int(episode) for episode in heard} & set(range(10))
    assert 0 < len(lost) < 10
    assert list(read_records(out)["episode"]) == [
        episode for episode in range(10) if episode not in lost
    ]
    ending = f"; mean and records have the other {10 - len(lost)}"
    assert f"{len(lost)} of 10 episodes lost with their environments{ending}" in said.out


def test_an_evaluation_without_an_environment_left_has_said_why(monkeypatch):
    monkeypatch.setattr(Sinking, "sunk", False)
    heard = []
    agent = ToyAgent(env_spec(sinking_env()))
    with pytest.raises(WorkerError, match="failed in 4 episodes one after the other"):
        run_episodes(
            agent,
            agent.init(0),
            sinking_env,
            run_seed=0,
            episodes=1,
            key=jax.random.key(0),
            on_fault=heard.append,
            workers="inline",
        )
    assert [fault.episode for fault in heard] == [0, 1, 2, 3] and "the tide came in" in heard[
        0
    ].reason


def test_too_many_lost_environments_end_the_run_with_the_reason(tmp_path):
    with pytest.raises(
        RunFailed,
        match=r"3 environment workers failed, more than --max-env-faults 2 "
        r"(.|\n)*the bridge is out",
    ):
        train(toy_spec(), tmp_path, brittle_env, ToyAgent, Options(max_env_faults=2))
    assert "the bridge is out" in (read_status(tmp_path).last_error or "")
    assert len((tmp_path / "faults.jsonl").read_text().splitlines()) == 3
