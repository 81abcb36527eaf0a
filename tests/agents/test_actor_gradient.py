"""Gradient estimators for imagined returns: equal values, different gradients."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.lagrangian import init_augmented
from agents.nn.gaussian import normal_log_prob
from agents.returns import ReturnNormState
from agents.safedreamer.actor_critic import Actor
from agents.safedreamer.config import ActorConfig
from agents.safedreamer.imagine import Trajectory
from agents.safedreamer.objectives import Returns, actor_loss, with_gradient
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import untracked
from agents.settings import AugmentedConfig
from tests.agent_inputs import tiny

CONFIG = tiny("bsrp_lag").model
FEAT, STEPS, STARTS = CONFIG.deter + CONFIG.stoch * CONFIG.classes, 3, 4
NORM = ReturnNormState(jnp.float32(-1.0), jnp.float32(3.0))  # a range of 4
LOSS = {"discount": 0.9, "cost_limit": 0.25, "pessimistic": True}


@pytest.fixture(scope="module")
def params() -> Any:
    return nnx.split(Actor(FEAT, 2, ActorConfig(), CONFIG, rngs=nnx.Rngs(0)))[1]


def actor_of(params: Any, gradient: str, share: float = 0.9) -> Actor:
    config: Any = ActorConfig(gradient=gradient, reinforce_share=share)  # pyright: ignore[reportArgumentType]
    graph = nnx.split(nnx.eval_shape(lambda: Actor(FEAT, 2, config, CONFIG, rngs=nnx.Rngs(0))))[0]
    return nnx.merge(graph, params)


def imagined(actor: Actor) -> tuple[Trajectory, Returns, Returns]:
    """Reward and cost returns that are differentiable in the actor, as in imagination."""
    rng = np.random.default_rng(0)
    view = jnp.asarray(rng.normal(size=(STEPS + 1, STARTS, FEAT)), jnp.float32)
    noise = jnp.asarray(rng.normal(size=(STEPS + 1, STARTS, 2)), jnp.float32)
    action = actor.act(view, noise)
    zeros = jnp.zeros((STEPS + 1, STARTS, CONFIG.stoch, CONFIG.classes))
    latent = Latent(jnp.zeros((STEPS + 1, STARTS, CONFIG.deter)), zeros, zeros)
    traj = Trajectory(untracked(latent), view, action, jnp.ones((STEPS + 1, STARTS)))
    reward = jnp.sin(2.0 * action[:-1]).sum(-1)
    cost = jnp.square(action[:-1]).sum(-1)
    value = 0.3 * jnp.cumsum(action, 0).sum(-1)
    return traj, Returns(reward, value, reward + value[1:]), Returns(cost, value, cost + value[1:])


def loss_of(params: Any, gradient: str, share: float = 0.9, constrained: bool = True) -> jax.Array:
    actor = actor_of(params, gradient, share)
    traj, rewards, costs = imagined(actor)
    rewards, costs = (with_gradient(actor, traj, x) for x in (rewards, costs))
    augmented = init_augmented(AugmentedConfig(0.5, 0.1)) if constrained else None
    return actor_loss(actor, traj, rewards, costs, NORM, augmented, **LOSS).loss


def gradients(params: Any, gradient: str, **options: Any) -> list[np.ndarray]:
    grads = jax.jit(jax.grad(lambda p: loss_of(p, gradient, **options)))(params)
    return [np.asarray(x) for x in jax.tree.leaves(grads)]


def test_the_default_leaves_returns_as_they_come(params):
    assert ActorConfig().gradient == "dynamics"

    def default(p):
        actor = actor_of(p, "dynamics")
        traj, rewards, _ = imagined(actor)
        assert with_gradient(actor, traj, rewards) is rewards
        return rewards

    jax.eval_shape(default, params)


@pytest.mark.parametrize("gradient", ["reinforce", "mixed"])
def test_estimators_change_gradients_and_no_number(params, gradient: str):
    def both(p):
        actor = actor_of(p, gradient)
        traj, rewards, _ = imagined(actor)
        return rewards, with_gradient(actor, traj, rewards)

    rewards, changed = jax.jit(both)(params)
    np.testing.assert_allclose(changed.ret, rewards.ret, rtol=1e-6)
    np.testing.assert_allclose(changed.value, rewards.value, rtol=1e-6)
    here, there = gradients(params, gradient), gradients(params, "dynamics")
    assert not all(np.allclose(a, b, rtol=1e-3) for a, b in zip(here, there, strict=True))


def test_reinforce_is_the_score_times_the_advantage_of_rewards_and_costs(params):
    def by_hand(p):
        actor = actor_of(p, "dynamics")
        fixed = jax.lax.stop_gradient(imagined(actor))
        traj, rewards, costs = fixed
        mean, std = actor(traj.view)
        log_prob = normal_log_prob(traj.action, mean, std)[:-1]
        entropy = (jnp.log(std) + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum(-1)[:-1]
        weight = jnp.array([[1.0], [0.9], [0.81]])
        advantage = (rewards.ret - rewards.value[:-1]) / 4.0
        loss = -(weight * (log_prob * advantage + 3e-4 * entropy)).mean()
        # d psi = (multiplier + penalty * excess) d excess while the constraint is active
        excess = costs.ret.sum(0).mean() - 0.25
        price = 0.5 + 0.1 * excess
        return (
            loss
            + jnp.maximum(price, 0.0) * (log_prob * (costs.ret - costs.value[:-1])).sum(0).mean()
        )

    want = [np.asarray(x) for x in jax.tree.leaves(jax.jit(jax.grad(by_hand))(params))]
    got = gradients(params, "reinforce")
    assert max(np.abs(x).max() for x in want) > 1e-3
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def test_mixed_lies_between_the_two_by_its_share(params):
    dynamics, reinforce = gradients(params, "dynamics"), gradients(params, "reinforce")
    mixed = gradients(params, "mixed", share=0.3)
    for a, b, c in zip(dynamics, reinforce, mixed, strict=True):
        np.testing.assert_allclose(c, 0.7 * a + 0.3 * b, rtol=1e-3, atol=1e-6)


def test_the_share_has_its_range():
    with pytest.raises(ValueError, match=r"actor\.reinforce_share"):
        dataclasses.replace(ActorConfig(), reinforce_share=1.5)
