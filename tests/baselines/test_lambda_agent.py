"""The LAMBDA agent through the interface of the training loop.

Tracing, schedule of its parts, release switches, exact resume.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.lambda_.agent import Lambda
from baselines.lambda_.config import LambdaConfig, ReleaseConfig
from baselines.lambda_.presets import DEBUG
from benchmarks.faults.process import without_clocks
from benchmarks.process.signals import Stop
from benchmarks.training.loop import Options, train
from tests.agent_inputs import LIDAR, VISION, observations, replay_batch
from tests.fakes.toys import StopAfter, toy_env, toy_spec

ROWS = 3


def after(agent: Lambda, updates: int) -> tuple[Any, dict[str, jax.Array]]:
    """State and last metrics after the given number of updates on batches of noise."""
    state, metrics = agent.init(0), {}
    for number in range(updates):
        state, metrics = agent.update(
            state, replay_batch(agent.env, 3, 6, seed=number), jax.random.key(number)
        )
    return state, metrics


def host(tree: Any) -> list[np.ndarray]:
    return [np.array(x) for x in jax.tree.leaves(tree)]


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(host(a), host(b), strict=True))


@pytest.mark.slow
def test_each_function_is_traced_once_and_learns_finite_numbers():
    agent = Lambda(DEBUG, LIDAR)
    state, carry = agent.init(0), agent.init_carry(ROWS)
    # Enough steps for pretraining, the first snapshots and the first samples (update 10).
    for step in range(12):
        obs, first = observations(LIDAR, (ROWS,), seed=step), np.array([step == 0, False, True])
        for mode in ("train", "eval"):
            action, carry, info = agent.act(state, carry, obs, first, jax.random.key(step), mode)
            assert action.shape == (ROWS, LIDAR.action_dim) and float(jnp.abs(action).max()) <= 1.0
            assert info["actor/std"].shape == (ROWS,)
        state, metrics = agent.update(
            state, replay_batch(LIDAR, 3, 6, seed=step), jax.random.key(step)
        )
        assert int(metrics["nonfinite"]) == 0
    assert agent._act._cache_size() == 2  # one per mode
    assert agent._update._cache_size() == 1
    # snapshots at updates 4, 6, 8 and 10
    assert int(state.swag.snapshots) == 4 and float(metrics["swag/snapshots"]) == 4.0
    # With the inputs on the device, nothing else is transferred from the host.
    *given, batch, key = jax.device_put((obs, first, replay_batch(LIDAR, 3, 6), jax.random.key(9)))
    with jax.transfer_guard_host_to_device("disallow"):
        agent.act(state, carry, *given, key, "train")
        agent.update(state, batch, key)


def test_an_episode_begins_with_an_empty_belief():
    agent = Lambda(DEBUG, LIDAR)
    state, obs = agent.init(0), observations(LIDAR, (2,))
    fresh = agent.init_carry(2)
    _, used, _ = agent.act(
        state,
        fresh,
        observations(LIDAR, (2,), 7),
        np.array([True, True]),
        jax.random.key(1),
        "train",
    )
    for mode in ("train", "eval"):
        from_used, *_ = agent.act(
            state, used, obs, np.array([True, False]), jax.random.key(2), mode
        )
        from_fresh, *_ = agent.act(
            state, fresh, obs, np.array([False, False]), jax.random.key(2), mode
        )
        np.testing.assert_array_equal(from_used[0], from_fresh[0])
        assert not np.array_equal(from_used[1], from_fresh[1])


@pytest.mark.slow
def test_pretraining_trains_the_model_only():
    agent = Lambda(dataclasses.replace(DEBUG, pretrain_updates=2), LIDAR)
    start, (two, _), (three, _) = agent.init(0), after(agent, 2), after(agent, 3)
    assert not same(start.params.model, two.params.model) and int(two.updates) == 2
    for name in ("actor", "critic", "cost_critic"):
        assert same(getattr(start.params, name), getattr(two.params, name))
        assert same(getattr(start.optimizers, name), getattr(two.optimizers, name))
        assert not same(getattr(two.params, name), getattr(three.params, name))
    assert same(start.augmented, two.augmented) and not same(two.augmented, three.augmented)


@pytest.mark.slow
def test_what_does_not_learn_yet_cannot_end_a_run_in_pretraining():
    """Non-finite critics are not evaluated during pretraining; their losses are reported as 0."""
    agent = Lambda(dataclasses.replace(DEBUG, pretrain_updates=1), LIDAR)
    state, batch = agent.init(0), replay_batch(LIDAR, 3, 6)
    broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), state.params.critic)
    state = state._replace(params=state.params._replace(critic=broken))
    state, metrics = agent.update(state, batch, jax.random.key(0))
    assert int(metrics["nonfinite"]) == 0
    assert (float(metrics["actor/loss"]), float(metrics["critic/loss"])) == (0.0, 0.0)
    _, metrics = agent.update(state, batch, jax.random.key(1))
    assert int(metrics["nonfinite"]) > 0


@pytest.mark.slow
def test_imagination_from_terminal_states_teaches_nothing():
    agent = Lambda(dataclasses.replace(DEBUG, pretrain_updates=0), LIDAR)
    batch = replay_batch(LIDAR, 3, 6)
    _, metrics = agent.update(
        agent.init(0),
        batch | {"is_terminal": np.ones_like(batch["is_terminal"])},
        jax.random.key(0),
    )
    assert (float(metrics["critic/loss"]), float(metrics["cost_critic/loss"])) == (0.0, 0.0)
    _, metrics = agent.update(agent.init(0), batch, jax.random.key(0))
    assert float(metrics["critic/loss"]) > 0.0


@pytest.mark.slow
def test_delayed_critics_are_copied_on_their_schedule():
    agent = Lambda(dataclasses.replace(DEBUG, pretrain_updates=0), LIDAR)  # copies every 3 updates
    start, (two, _), (three, _) = agent.init(0), after(agent, 2), after(agent, 3)
    for name in ("critic", "cost_critic"):
        assert same(getattr(start, f"slow_{name}"), getattr(two, f"slow_{name}"))
        assert same(getattr(three, f"slow_{name}"), getattr(three.params, name))


@pytest.fixture(scope="module")
def corrected() -> tuple[LambdaConfig, Any]:
    """Settings under which every switch has an effect, and the parameters after five updates.

    The gradient clip is active, and SWAG samples are drawn from the first snapshots on.
    """
    model = dataclasses.replace(
        DEBUG.model, optimizer=dataclasses.replace(DEBUG.model.optimizer, clip=0.01)
    )
    swag = dataclasses.replace(DEBUG.swag, start=0, period=1, rank=2)
    config = dataclasses.replace(DEBUG, pretrain_updates=0, model=model, swag=swag)
    return config, host(after(Lambda(config, LIDAR), 5)[0].params)


@pytest.mark.slow
@pytest.mark.parametrize("switch", [field.name for field in dataclasses.fields(ReleaseConfig)])
def test_every_switch_of_the_release_changes_the_result(
    corrected: tuple[LambdaConfig, Any], switch: str
):
    config, params = corrected
    published = dataclasses.replace(config, release=ReleaseConfig(**{switch: True}))
    assert not same(params, after(Lambda(published, LIDAR), 5)[0].params)


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

    def start(name: str, stop: Stop):
        make_agent = functools.partial(Lambda, spec.agent)
        return train(spec, tmp_path / name, toy_env, make_agent, Options(stop=stop))

    assert start("unbroken", Stop()).finished
    assert not start("run", StopAfter(20)).finished
    assert not start("run", StopAfter(15)).finished
    done = start("run", Stop())
    assert done.finished and done.updates > DEBUG.swag.warm_updates
    assert without_clocks(tmp_path / "run") == without_clocks(tmp_path / "unbroken")
