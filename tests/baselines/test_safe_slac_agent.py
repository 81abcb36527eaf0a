"""The complete Safe SLAC agent.

Tracing, pre-training, what each update may change, multiplier, policy.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.safe_slac import learner as learner_module
from baselines.safe_slac.agent import SafeSLAC
from baselines.safe_slac.presets import DEBUG, PRESETS
from tests.agent_inputs import (
    ENVS,
    LIDAR,
    acts_and_updates,
    copied,
    observations,
    replay_batch,
    same,
)

CONFIG = dataclasses.replace(DEBUG, pretrain_updates=2)


@pytest.fixture(scope="module")
def agent() -> SafeSLAC:
    return SafeSLAC(CONFIG, LIDAR)


@pytest.mark.parametrize(
    ("preset", "obs"),
    [pytest.param("release", "vision", marks=pytest.mark.slow), *(("debug", obs) for obs in ENVS)],
)
def test_presets_act_and_update(preset: str, obs: str):
    agent = SafeSLAC(PRESETS[preset], ENVS[obs])
    acts_and_updates(agent, replay_batch(agent.env, agent.config.latent.batch + 2, 3))


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
    for name in ("critic", "cost_critic"):  # targets move by their fraction, 1 / 200
        jax.tree.map(
            lambda old, online, new: np.testing.assert_allclose(
                new, 0.995 * old + 0.005 * online, rtol=1e-5, atol=1e-7
            ),
            getattr(states[-2], f"target_{name}"),
            getattr(states[-1].params, name),
            getattr(states[-1], f"target_{name}"),
        )
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
