"""The LAMBDA agent through the interface of the training loop.

Tracing, schedule of its parts, release switches, exact resume.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.api import EnvSpec
from agents.settings import OptimizerConfig
from baselines.lambda_.agent import Lambda
from baselines.lambda_.config import ReleaseConfig
from baselines.lambda_.learner import AgentState, Learner
from baselines.lambda_.presets import DEBUG
from benchmarks.envs import env_spec
from benchmarks.faults.process import without_clocks
from benchmarks.process.signals import Stop
from benchmarks.training.loop import Options, train
from tests.agent_inputs import LIDAR, VISION, copied, observations, replay_batch, same
from tests.fakes.toys import StopAfter, toy_env, toy_spec

ROWS = 3


@pytest.fixture(scope="module")
def agent() -> Lambda:
    return Lambda(dataclasses.replace(DEBUG, pretrain_updates=2), LIDAR)


def trained(agent: Lambda, updates: int, begun: int = 0) -> list[AgentState]:
    """States before and after each of `updates` updates on batches of noise, as if `begun` had
    been made before.
    """
    state = agent.init(0)._replace(updates=jnp.int32(begun))
    states = [copied(state)]
    for number in range(updates):
        batch = replay_batch(agent.env, seed=number)
        state, _ = agent.update(state, batch, jax.random.key(number))
        states.append(copied(state))
    return states


@pytest.mark.slow
def test_each_function_is_traced_once_and_learns_finite_numbers(agent: Lambda):
    state, carry = agent.init(0), agent.init_carry(ROWS)
    # Enough steps for pretraining, the first snapshots and the first samples (update 10).
    for step in range(12):
        obs, first = observations(LIDAR, (ROWS,), seed=step), np.array([step == 0, False, True])
        for mode in ("train", "eval"):
            action, carry, info = agent.act(state, carry, obs, first, jax.random.key(step), mode)
            assert action.shape == (ROWS, LIDAR.action_dim) and float(jnp.abs(action).max()) <= 1.0
            assert info["actor/std"].shape == (ROWS,)
        state, metrics = agent.update(state, replay_batch(LIDAR, seed=step), jax.random.key(step))
        assert int(metrics["nonfinite"]) == 0
    assert agent._act._cache_size() == 2  # one per mode
    assert agent._update._cache_size() == 1
    # snapshots at updates 4, 6, 8 and 10
    assert int(state.swag.snapshots) == 4 and float(metrics["swag/snapshots"]) == 4.0
    # With the inputs on the device, nothing else is transferred from the host.
    *given, batch, key = jax.device_put((obs, first, replay_batch(LIDAR), jax.random.key(9)))
    with jax.transfer_guard_host_to_device("disallow"):
        agent.act(state, carry, *given, key, "train")
        agent.update(state, batch, key)


def test_an_episode_begins_with_an_empty_belief(agent: Lambda):
    state, fresh = agent.init(0), agent.init_carry(ROWS)
    obs, before = (observations(LIDAR, (ROWS,), seed) for seed in (0, 7))
    _, used, _ = agent.act(state, fresh, before, np.ones(ROWS, bool), jax.random.key(1), "train")
    for mode in ("train", "eval"):
        from_used, from_fresh = (
            agent.act(state, carry, obs, np.array(first), jax.random.key(2), mode)[0]
            for carry, first in ((used, [True, False, True]), (fresh, [False] * ROWS))
        )
        np.testing.assert_array_equal(from_used[::2], from_fresh[::2])
        assert not np.array_equal(from_used[1], from_fresh[1])


@pytest.mark.slow
def test_pretraining_trains_the_model_only(agent: Lambda):
    start, _, two, three = trained(agent, 3)
    assert not same(start.params.model, two.params.model) and int(two.updates) == 2
    for name in ("actor", "critic", "cost_critic"):
        assert same(getattr(start.params, name), getattr(two.params, name))
        assert same(getattr(start.optimizers, name), getattr(two.optimizers, name))
        assert not same(getattr(two.params, name), getattr(three.params, name))
    assert same(start.augmented, two.augmented) and not same(two.augmented, three.augmented)


@pytest.mark.slow
def test_what_does_not_learn_yet_cannot_end_a_run_in_pretraining(agent: Lambda):
    """Non-finite critics are not evaluated during pretraining; their losses are reported as 0."""
    state, batch = agent.init(0), replay_batch(LIDAR)
    broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), state.params.critic)
    state = state._replace(params=state.params._replace(critic=broken), updates=jnp.int32(1))
    state, metrics = agent.update(state, batch, jax.random.key(0))
    assert int(metrics["nonfinite"]) == 0
    assert (float(metrics["actor/loss"]), float(metrics["critic/loss"])) == (0.0, 0.0)
    _, metrics = agent.update(state, batch, jax.random.key(1))
    assert int(metrics["nonfinite"]) > 0


@pytest.mark.slow
def test_imagination_from_terminal_states_teaches_nothing(agent: Lambda):
    batch = replay_batch(LIDAR)
    terminal = batch | {"is_terminal": np.ones_like(batch["is_terminal"])}
    nothing, something = (
        agent.update(agent.init(0)._replace(updates=jnp.int32(2)), rows, jax.random.key(0))[1]
        for rows in (terminal, batch)
    )
    assert (float(nothing["critic/loss"]), float(nothing["cost_critic/loss"])) == (0.0, 0.0)
    assert float(something["critic/loss"]) > 0.0


@pytest.mark.slow
def test_delayed_critics_are_copied_on_their_schedule(agent: Lambda):
    start, _, two, three = trained(agent, 3, begun=3)  # copies every 3 updates
    for name in ("critic", "cost_critic"):
        assert same(getattr(start, f"slow_{name}"), getattr(two, f"slow_{name}"))
        assert same(getattr(three, f"slow_{name}"), getattr(three.params, name))


@pytest.mark.slow
def test_every_switch_of_the_release_changes_the_update_in_its_own_way():
    """What each does is tested by hand where it takes effect; here that it gets there."""

    def program(**switches: bool) -> str:
        config = dataclasses.replace(DEBUG, pretrain_updates=0, release=ReleaseConfig(**switches))
        learner, key = Learner(config, LIDAR), jax.random.key(0)
        state = jax.eval_shape(learner.init, key)
        return str(jax.make_jaxpr(learner.update)(state, replay_batch(LIDAR), key))

    switches = [field.name for field in dataclasses.fields(ReleaseConfig)]
    programs = {program(**{switch: True}) for switch in switches} | {program()}
    assert program() in programs  # equal settings give equal text
    assert len(programs) == 1 + len(switches)


@pytest.mark.parametrize("unclipped", [False, True])
def test_the_release_leaves_the_models_gradient_unclipped(unclipped: bool):
    # Adam's first step is lr * g / (|g| + eps): with eps = 1, norm 5 is clipped to 1, or not
    model = dataclasses.replace(DEBUG.model, optimizer=OptimizerConfig(0.1, eps=1.0, clip=1.0))
    release = ReleaseConfig(unclipped_model=unclipped)
    learner = Learner(dataclasses.replace(DEBUG, model=model, release=release), LIDAR)
    optimizer, zeros = learner.optimizers.model, jnp.zeros(2)
    step, _ = optimizer.update(jnp.array([3.0, 4.0]), optimizer.init(zeros), zeros)
    gradient = np.array([3.0, 4.0] if unclipped else [0.6, 0.8])
    np.testing.assert_allclose(step, -0.1 * gradient / (gradient + 1.0), rtol=1e-5)


@pytest.mark.slow
def test_vision_updates_and_ignores_the_back_camera_as_published():
    agent = Lambda(DEBUG, VISION)
    batch = replay_batch(VISION, 2, 3)
    other = batch | {"image2": np.zeros_like(batch["image2"])}
    first, metrics = agent.update(agent.init(0), batch, jax.random.key(0))
    assert float(metrics["model/image_loss"]) > 0
    assert same(first.params, agent.update(agent.init(0), other, jax.random.key(0))[0].params)


@pytest.mark.slow
def test_a_run_stopped_twice_ends_as_if_it_had_not_been(tmp_path):
    spec = dataclasses.replace(toy_spec(steps=400), method="lambda", agent=DEBUG)
    agent = Lambda(DEBUG, env_spec(toy_env()))  # stateless: compiled once for all starts

    def make_agent(env: EnvSpec) -> Lambda:
        assert env == agent.env
        return agent

    def start(name: str, stop: Stop):
        return train(spec, tmp_path / name, toy_env, make_agent, Options(stop=stop))

    assert start("unbroken", Stop()).finished
    assert not start("run", StopAfter(20)).finished
    assert not start("run", StopAfter(15)).finished
    done = start("run", Stop())
    assert done.finished and done.updates > DEBUG.swag.warm_updates
    assert without_clocks(tmp_path / "run") == without_clocks(tmp_path / "unbroken")
