"""The complete Safe SLAC agent.

Tracing, pre-training, what each update may change, multiplier, policy.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.safe_slac import learner as learner_module
from baselines.safe_slac.agent import SafeSLAC
from baselines.safe_slac.presets import agent_config
from tests.agent_inputs import ENVS, LIDAR, observations, replay_batch

CONFIG = dataclasses.replace(agent_config("debug"), pretrain_updates=2)


def copied(tree: Any) -> Any:
    """Copy to the host, since `update` donates its state."""
    return jax.tree.map(np.array, tree)


def same(a: Any, b: Any) -> bool:
    return all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.fixture(scope="module")
def agent() -> SafeSLAC:
    return SafeSLAC(CONFIG, LIDAR)


@pytest.mark.parametrize("obs", ENVS)
@pytest.mark.parametrize(
    "preset",
    [
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("release", "matched", "cpu")),
        "debug",
    ],
)
def test_every_preset_acts_and_updates(preset: str, obs: str):
    """Trace without running: actions have the right shape, and an update preserves the structure
    of its state.
    """
    env = ENVS[obs]
    agent = SafeSLAC(agent_config(preset), env)
    state, carry, key = (
        jax.eval_shape(agent.init, 0),
        jax.eval_shape(lambda: agent.init_carry(4)),
        jax.random.key(0),
    )
    first = jnp.zeros(4, bool)

    def one_act(state, carry):
        return agent.act(state, carry, observations(env, (4,)), first, key, "train")  # pyright: ignore[reportArgumentType]

    action, new_carry, info = jax.eval_shape(one_act, state, carry)
    assert (action.shape, action.dtype) == ((4, 2), jnp.float32)
    assert {x.shape for x in info.values()} == {(4,)}
    batch = {
        name: jnp.asarray(x)
        for name, x in replay_batch(env, agent.config.latent.batch + 2, 3).items()
    }
    new_state, metrics = jax.eval_shape(agent.learner.update, state, batch, key)
    for before, after in ((state, new_state), (carry, new_carry)):
        assert jax.tree.structure(before) == jax.tree.structure(after)
        assert [(x.shape, x.dtype) for x in jax.tree.leaves(before)] == [
            (x.shape, x.dtype) for x in jax.tree.leaves(after)
        ]
    assert all(x.shape == () for x in metrics.values())


@pytest.mark.slow
def test_updates_and_acts_trace_once_and_pretraining_touches_the_latent_model_alone(
    agent, monkeypatch
):
    traced = []
    loss = learner_module.latent_loss
    monkeypatch.setattr(
        learner_module, "latent_loss", lambda *args: traced.append(1) or loss(*args)
    )
    state, states = agent.init(0), []
    for n in range(4):
        states.append(copied(state))
        state, metrics = agent.update(state, replay_batch(LIDAR, 5, 4, seed=n), jax.random.key(n))
        assert int(metrics["nonfinite"]) == 0
        assert (float(metrics["critic/loss"]) == 0.0) == (n < 2)
    states.append(copied(state))
    assert len(traced) == 1
    for n, (before, after) in enumerate(zip(states, states[1:], strict=False)):
        assert not same(before.params.latent, after.params.latent)
        for name in ("actor", "critic", "cost_critic", "log_temperature"):
            assert same(getattr(before.params, name), getattr(after.params, name)) == (n < 2), name
        assert same(before.target_critic, after.target_critic) == (n < 2)
        assert same(before.target_cost_critic, after.target_cost_critic) == (n < 2)
    assert int(state.updates) == 4

    carry = agent.init_carry(3)
    for n in range(3):
        obs = observations(LIDAR, (3,), n)
        action, carry, _ = agent.act(
            state, carry, obs, np.full(3, n == 0), jax.random.key(n), "train"
        )
        assert np.abs(np.asarray(action)).max() <= 1.0
        np.testing.assert_array_equal(carry.action, action)
    assert agent._act._cache_size() == 1
    assert agent._update._cache_size() == 1
    # With the inputs on the device, nothing else is transferred from the host.
    given = jax.device_put((obs, np.zeros(3, bool), jax.random.key(9)))
    batch = jax.device_put(replay_batch(LIDAR, 5, 4))
    with jax.transfer_guard_host_to_device("disallow"):
        agent.act(state, carry, *given, "train")
        state, _ = agent.update(state, batch, given[2])

    # Real episode costs move the multiplier, but only once learning has begun.
    fresh = agent.init(0)
    assert float(agent.end_episode(fresh, 100.0, 10).multiplier) == float(fresh.multiplier)
    assert float(agent.end_episode(state, 100.0, 10).multiplier) > float(state.multiplier)
    assert float(agent.end_episode(state, 0.0, 10).multiplier) < float(state.multiplier)


def test_no_gradient_of_actor_or_critics_reaches_the_latent_model(agent):
    state = agent.init(0)
    windows = learner_module.make_windows(
        {k: jnp.asarray(v) for k, v in replay_batch(LIDAR, 2, 3).items()}, ("observation",), False
    )

    def latents(params):
        return agent.learner.transitions(params, windows, jax.random.key(0)).z.sum()

    assert all(not np.any(x) for x in jax.tree.leaves(jax.grad(latents)(state.params.latent)))


def test_a_batch_too_small_for_both_names_the_settings(agent):
    with pytest.raises(ValueError, match="batch_size"):
        jax.eval_shape(
            agent.learner.update,
            jax.eval_shape(agent.init, 0),
            replay_batch(LIDAR, 2, 3),
            jax.random.key(0),
        )
