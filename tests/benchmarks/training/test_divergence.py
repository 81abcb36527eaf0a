"""NaNs and infinities end a run in the iteration they appear in.

The error names them, the batch is saved, and the checkpoint from before is kept.
"""

from __future__ import annotations

import json

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.checks import count_nonfinite
from agents.safedreamer.agent import SafeDreamer
from benchmarks.envs import EnvContractError, make_env
from benchmarks.runs import checkpoint
from benchmarks.runs.metrics import Window
from benchmarks.runs.status import read_status
from benchmarks.training.divergence import Diverged, origins
from benchmarks.training.loop import train
from tests.agent_inputs import VECTOR, replay_batch, tiny
from tests.fakes.toys import EPISODE_ENV_STEPS, Shore, ToyAgent, toy_env, toy_spec

BAD_UPDATE = 30


class Diverging(ToyAgent):
    """Its loss is infinite at one update."""

    def update(self, state, batch, key):
        at = int(state.updates)
        state, values = super().update(state, batch, key)
        values = {**values, "toy/loss": jnp.where(at == BAD_UPDATE, jnp.inf, values["toy/loss"])}
        return state, values | {"nonfinite": count_nonfinite(values)}


class Lost(ToyAgent):
    """Its actions are NaN once it has learnt a little."""

    def act(self, state, carry, obs, is_first, key, mode):
        actions, carry, info = super().act(state, carry, obs, is_first, key, mode)
        return jnp.where(state.updates > BAD_UPDATE, jnp.nan, actions), carry, info


def test_count_by_hand():
    tree = {
        "a": jnp.array([1.0, jnp.nan, jnp.inf]),
        "b": (jnp.int32(3), jnp.bfloat16(-jnp.inf)),
        "c": None,
    }
    assert int(jax.jit(count_nonfinite)(tree)) == 3
    assert int(count_nonfinite({"a": jnp.zeros(4)})) == 0


def test_the_terms_of_a_loss_are_named_before_what_follows_from_them():
    assert (
        origins(["actor/loss", "model/loss", "model/reward_loss", "model/grad_norm"])
        == "model/reward_loss (and 3 more that follow)"
    )
    assert origins(["critic/loss", "critic/grad_norm"]) == "critic/loss (and 1 more that follow)"
    assert origins(["actor/grad_norm"]) == "actor/grad_norm"


class Sending(Shore):
    """Its reward is not a number once it has moved for a while."""

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward if self.steps < 15 else float("nan"), terminated, truncated, info


def sending():
    return gymnasium.wrappers.TimeLimit(Sending(), EPISODE_ENV_STEPS)


def test_an_environment_that_sends_no_numbers_is_blamed(tmp_path):
    """The run ends before they reach the learner."""
    with pytest.raises(
        EnvContractError,
        match=r"environment 0, episode 0, .*step 15: the reward must be finite .* got nan",
    ):
        train(
            toy_spec(),
            tmp_path,
            lambda: make_env("tests.benchmarks.training.test_divergence:sending", "default", 2),
            ToyAgent,
        )
    assert not (tmp_path / "diverged").exists()


class Exaggerating(Shore):
    """Its rewards are finite, and their squares are not."""

    def step(self, action):
        observation, _, terminated, truncated, info = super().step(action)
        return observation, 1e30, terminated, truncated, info


def exaggerating():
    return gymnasium.wrappers.TimeLimit(Exaggerating(), EPISODE_ENV_STEPS)


class Squaring(ToyAgent):
    """Its loss is the square of rewards."""

    def update(self, state, batch, key):
        loss = jnp.square(batch["reward"]).mean()
        state, values = super().update(state, batch, key)
        values = {**values, "toy/loss": loss}
        return state, values | {"nonfinite": count_nonfinite(values)}


def test_numbers_too_large_to_be_squared_are_named(tmp_path):
    with pytest.raises(
        Diverged,
        match=r"not finite: toy/loss.*squares float32 can hardly hold: reward reaches 2e\+30; "
        r"scale them",
    ):
        train(
            toy_spec(),
            tmp_path,
            lambda: make_env(
                "tests.benchmarks.training.test_divergence:exaggerating", "default", 2
            ),
            Squaring,
        )


def test_a_diverged_run_ends_with_its_batch_and_the_checkpoint_from_before(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(
        Diverged,
        match=rf"\(update {BAD_UPDATE}\): not finite: toy/loss\. "
        rf"The batch is in .*update-{BAD_UPDATE}\.npz",
    ):
        train(toy_spec(), out, toy_env, Diverging)
    with np.load(out / "diverged" / f"update-{BAD_UPDATE}.npz") as batch:
        assert batch["action"].shape == (4, 5, 2) and np.isfinite(batch["action"]).all()
    facts = json.loads((out / "diverged" / f"update-{BAD_UPDATE}.json").read_text())
    assert facts["metrics"]["toy/loss"] == "inf" and facts["not_finite"] == "toy/loss"
    newest, damaged = checkpoint.find(out / "checkpoints")
    assert newest is not None and not damaged
    with np.load(newest / "learner.npz") as state:
        assert 0 < state[".updates"] <= BAD_UPDATE
    status = read_status(out)
    assert (
        status.state == "failed"
        and status.last_error is not None
        and "toy/loss" in status.last_error
    )


def test_actions_that_are_not_finite_never_reach_the_environment(tmp_path):
    with pytest.raises(Diverged, match=r"\(acting\): not finite: the policy's actions"):
        train(toy_spec(), tmp_path, toy_env, Lost)
    with np.load(tmp_path / "diverged" / "acting.npz") as saved:
        assert np.isnan(saved["action"]).all() and saved["observation"].shape == (3, 3)


def test_the_count_is_no_metric_of_the_run(tmp_path):
    train(toy_spec(steps=120), tmp_path, toy_env, Diverging)
    assert "nonfinite" not in (tmp_path / "metrics.jsonl").read_text()


@pytest.fixture(scope="module")
def agent() -> SafeDreamer:
    return SafeDreamer(tiny("bsrp_lag"), VECTOR)


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_the_learner_counts_in_its_jitted_update(agent, what):
    batch = replay_batch(VECTOR)
    state, values = agent.update(agent.init(0), batch, jax.random.key(0))
    assert int(values["nonfinite"]) == 0
    bad = {
        **batch,
        what: np.where(
            np.arange(batch[what].size).reshape(batch[what].shape) == 5, np.nan, batch[what]
        ),
    }
    _, values = agent.update(state, bad, jax.random.key(1))
    assert int(values["nonfinite"]) > 0
    window = Window()
    window.add(values)
    assert not np.isfinite(window.flush()[f"model/{what}_loss"])
