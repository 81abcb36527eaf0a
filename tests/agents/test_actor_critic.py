"""Actor, critics and imagination: losses by hand and against plain NumPy, gradient flow."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.api import EnvSpec
from agents.lagrangian import init_augmented
from agents.returns import ReturnNormState
from agents.safedreamer.actor_critic import Actor, Critic, critic_loss, update_slow
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import ActorConfig, ImaginationConfig
from agents.safedreamer.imagine import imagine, rollout
from agents.safedreamer.networks import Networks
from agents.safedreamer.objectives import actor_loss, imagined_returns, trajectory_returns
from agents.safedreamer.plan_outcomes import actor_proposals, make_evaluate
from agents.safedreamer.planner import Evaluate
from agents.safedreamer.planner_config import PlannerConfig
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import Belief, untracked
from agents.safedreamer.world_model import WorldModel
from agents.settings import AugmentedConfig, replaced
from tests.agent_inputs import VECTOR, hand_made, shaken, tiny

CONFIG = tiny("bsrp_lag").model
FEAT = CONFIG.deter + CONFIG.stoch * CONFIG.classes


def make_actor(seed: int = 0) -> Actor:
    return shaken(Actor(FEAT, 2, ActorConfig(), CONFIG, rngs=nnx.Rngs(seed)), seed)


def make_critic(seed: int = 1) -> Critic:
    return shaken(Critic(FEAT, CONFIG, rngs=nnx.Rngs(seed)), seed)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return shaken(WorldModel(CONFIG, VECTOR, rngs=nnx.Rngs(0), dtype=jnp.dtype("float32")))


def feats(*lead: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(5).normal(size=(*lead, FEAT)), jnp.float32)


def starts(count: int) -> Belief:
    rng = np.random.default_rng(6)
    stoch = jnp.asarray(
        np.eye(CONFIG.classes)[rng.integers(0, CONFIG.classes, (count, CONFIG.stoch))], jnp.float32
    )
    return untracked(
        Latent(
            jnp.asarray(rng.normal(size=(count, CONFIG.deter)), jnp.float32),
            stoch,
            jnp.zeros_like(stoch),
        )
    )


def test_actor_by_hand():
    actor = make_actor()
    actor.mean.kernel[...] = jnp.zeros_like(actor.mean.kernel[...])
    actor.mean.bias[...] = jnp.array([0.0, np.arctanh(0.5)])
    actor.std.kernel[...] = jnp.zeros_like(actor.std.kernel[...])
    actor.std.bias[...] = jnp.array([-2.0, 100.0])
    mean, std = actor(feats(3))
    np.testing.assert_allclose(mean, np.tile([0.0, 0.5], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(std, np.tile([0.1 + 0.9 * 0.5, 1.0], (3, 1)), rtol=1e-5)
    np.testing.assert_allclose(
        actor.act(feats(3), jnp.full((3, 2), -2.0)), np.tile([-1.1, -1.5], (3, 1)), rtol=1e-5
    )


def test_actions_send_no_gradient_into_features():
    actor = make_actor()
    gradient = jax.grad(lambda x: actor.act(x, jnp.ones((1, 2))).sum())(feats(1))
    np.testing.assert_array_equal(gradient, np.zeros((1, FEAT)))


def test_untrained_critic_is_zero():
    np.testing.assert_allclose(
        Critic(FEAT, CONFIG, rngs=nnx.Rngs(0)).value(feats(4)), np.zeros(4), atol=1e-6
    )


def test_imagination_is_the_model_under_the_actor(model: WorldModel):
    actor, start = make_actor(), starts(3)
    start_cont = jnp.array([1.0, 0.0, 1.0])
    traj = jax.jit(lambda k: imagine(model, actor, start, start_cont, 4, k))(jax.random.key(0))
    assert (traj.belief.feat.shape, traj.action.shape, traj.cont.shape) == (
        (5, 3, FEAT),
        (5, 3, 2),
        (5, 3),
    )
    np.testing.assert_array_equal(traj.belief.feat[0], start.feat)
    np.testing.assert_array_equal(traj.view, traj.belief.feat)  # no tracked hazards
    np.testing.assert_array_equal(traj.cont[0], start_cont)
    np.testing.assert_array_equal(traj.cont[1:], model.cont(traj.view[1:]))
    deter, stoch = (
        traj.view[..., : CONFIG.deter],
        traj.view[..., CONFIG.deter :].reshape(5, 3, CONFIG.stoch, CONFIG.classes),
    )
    following = model.rssm.next_deter(deter[:-1], stoch[:-1], traj.action[:-1])
    np.testing.assert_allclose(deter[1:], following, rtol=1e-4, atol=1e-5)
    # one-hot samples
    np.testing.assert_allclose(stoch.max(-1), np.ones((5, 3, CONFIG.stoch)), atol=1e-5)


def test_rollout_executes_the_given_actions(model: WorldModel):
    actions = jnp.asarray(np.random.default_rng(7).uniform(-1, 1, (4, 2, 2)), jnp.float32)
    beliefs, executed = rollout(model, starts(2), lambda _, a: a, actions, jax.random.key(0))
    np.testing.assert_array_equal(executed, actions)
    latents = beliefs.latent
    np.testing.assert_allclose(
        latents.deter[1:],
        model.rssm.next_deter(latents.deter[:-1], latents.stoch[:-1], actions[:-1]),
        rtol=1e-4,
        atol=1e-5,
    )


def evaluation(
    model: WorldModel, critic: Critic, of_cost: Critic, start: Belief, **planner: Any
) -> Evaluate:
    """Discounts 0.9 and 0.8, λ 0.95 and 0.7 of rewards and costs; scales of costs 100 and 40."""
    return make_evaluate(
        Networks(model, None, critic, of_cost),
        start,
        ImaginationConfig(discount_horizon=10.0, cost_discount_horizon=5.0, cost_lam=0.7),
        PlannerConfig(**planner),
        cost_scale=100.0,
        return_scale=40.0,
    )


def test_plan_outcomes_are_those_of_a_rollout(model: WorldModel):
    """Recompute the planner's costs and returns from the model rollout of each plan."""
    critic, cost_critic, start = make_critic(1), make_critic(2), starts(2)
    # E, N, H+1, A
    plans = jnp.asarray(np.random.default_rng(8).uniform(-1, 1, (2, 3, 5, 2)), jnp.float32)
    evaluate = evaluation(model, critic, cost_critic, start)
    key = jax.random.key(3)
    got = jax.jit(evaluate)(plans, key)
    repeated = jax.tree.map(lambda x: jnp.repeat(x, 3, 0), start)
    beliefs, _ = rollout(
        model, repeated, lambda _, a: a, plans.transpose(2, 0, 1, 3).reshape(5, 6, 2), key
    )
    feat = beliefs.feat
    cost = model.cost(jax.tree.map(lambda x: x[1:], beliefs))
    reward, cont = model.reward(feat[1:]), model.cont(feat[1:])
    for values, critic_, name, discount, lam in (
        (reward, critic, "ret", 0.9, 0.95),
        (cost, cost_critic, "cost_return", 0.8, 0.7),
    ):
        ret, value = critic_.value(feat[-1]), critic_.value(feat[1:])
        for t in reversed(range(4)):
            ret = values[t] + discount * cont[t] * ((1 - lam) * value[t] + lam * ret)
        np.testing.assert_allclose(getattr(got, name), ret.reshape(2, 3), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(got.reward_sum, reward.sum(0).reshape(2, 3), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        got.episode_cost, 100.0 * cost.sum(0).reshape(2, 3), rtol=1e-3, atol=1e-3
    )


def test_without_the_cost_critic_a_plan_pays_for_its_own_costs_only(model: WorldModel):
    cost_critic, start = make_critic(2), starts(2)
    plans = jnp.asarray(np.random.default_rng(8).uniform(-1, 1, (2, 3, 5, 2)), jnp.float32)
    key = jax.random.key(3)
    without = evaluation(model, make_critic(1), cost_critic, start, cost_critic=False)(plans, key)
    repeated = jax.tree.map(lambda x: jnp.repeat(x, 3, 0), start)
    beliefs, _ = rollout(
        model, repeated, lambda _, a: a, plans.transpose(2, 0, 1, 3).reshape(5, 6, 2), key
    )
    arrived = jax.tree.map(lambda x: x[1:], beliefs)
    cost, cont = model.cost(arrived), model.cont(arrived.feat)
    expected, weight = 0.0, 1.0
    for t in range(4):
        expected += weight * cost[t]
        weight = weight * 0.8 * cont[t]  # no bootstrap after the last step
    np.testing.assert_allclose(
        without.cost_return, np.reshape(expected, (2, 3)), rtol=1e-3, atol=1e-4
    )
    with_critic = evaluation(model, make_critic(1), cost_critic, start)(plans, key)
    np.testing.assert_array_equal(without.ret, with_critic.ret)
    assert float(jnp.abs(without.cost_return - with_critic.cost_return).max()) > 1e-3


def test_pessimism_and_the_cost_of_the_filter(model: WorldModel):
    """Over three rollouts of each plan, rewards are averaged and costs are maximised.

    With `feasible_cost` return, the episode cost is derived from the cost return.
    """
    cost_critic, start = make_critic(2), starts(2)
    plans = jnp.asarray(np.random.default_rng(8).uniform(-1, 1, (2, 3, 5, 2)), jnp.float32)
    one, three = (
        evaluation(model, make_critic(1), cost_critic, start, **changes)(x, jax.random.key(3))
        for x, changes in (
            (jnp.repeat(plans, 3, 1), {}),
            (plans, {"pessimism": 3, "feasible_cost": "return"}),
        )
    )
    each = {name: np.asarray(getattr(one, name)).reshape(2, 3, 3) for name in one._fields}
    assert np.ptp(each["cost_return"], -1).min() > 0.0  # rollouts of one plan differ
    np.testing.assert_allclose(three.ret, each["ret"].mean(-1), rtol=1e-4)
    np.testing.assert_allclose(three.reward_sum, each["reward_sum"].mean(-1), rtol=1e-4)
    np.testing.assert_allclose(three.cost_return, each["cost_return"].max(-1), rtol=1e-4)
    np.testing.assert_allclose(three.episode_cost, 40.0 * each["cost_return"].max(-1), rtol=1e-4)


def test_an_episode_cost_from_a_discounted_return():
    """200 agent steps at cost 0.5 total 100; with a discount horizon of 20 their return is 10."""
    imagination = ImaginationConfig(discount_horizon=50.0, cost_discount_horizon=20.0)
    env = EnvSpec(VECTOR.obs, 2, 5, 1000)
    agent = SafeDreamer(tiny("osrp", imagination=imagination), env)
    assert agent.return_scale * 10.0 == pytest.approx(100.0)


@pytest.mark.parametrize("source", ["head", "geometry", "tracked"])
def test_exactly_scaled_plans_promise_the_episode_cost_of_the_simulator(source: str):
    """Whoever stays in a hazard pays 1000 in an episode. The cost head predicts sums of simulator
    steps, 4 per agent step, the other two count the hazard once.
    """
    changes = {"model.cost_source": source, "planner.cost_scale": "exact"}
    config = replaced(tiny("osrp"), changes)
    agent = SafeDreamer(config, VECTOR)
    per_agent_step, horizon = 4.0 if source == "head" else 1.0, config.planner.horizon
    assert agent.cost_scale * horizon * per_agent_step == pytest.approx(1000.0)
    cost_return = per_agent_step / (1.0 - config.imagination.cost_discount)
    assert agent.return_scale * cost_return == pytest.approx(1000.0)


def test_proposals_are_clipped_actor_samples(model: WorldModel):
    actor, start = make_actor(), starts(2)
    plans = jax.jit(lambda k: actor_proposals(model, actor, start, 200, 2, k))(jax.random.key(0))
    assert plans.shape == (2, 200, 3, 2)
    assert float(jnp.abs(plans).max()) == 1.0
    mean, std = (np.asarray(x) for x in actor(start.feat))
    draws = mean[:, None] + std[:, None] * np.random.default_rng(0).normal(size=(2, 4000, 2))
    np.testing.assert_allclose(plans[:, :, 0].mean(1), np.clip(draws, -1, 1).mean(1), atol=0.2)


@pytest.mark.parametrize("pessimistic", [True, False])
def test_actor_loss_by_hand(pessimistic: bool):
    actor, (traj, rewards, costs) = make_actor(), hand_made(CONFIG)
    state = init_augmented(AugmentedConfig(0.5, 0.1))
    arguments = {"discount": 0.9, "cost_limit": 0.25, "pessimistic": pessimistic}
    norm = ReturnNormState(jnp.float32(-1.0), jnp.float32(3.0))  # a range of 4
    free = actor_loss(actor, traj, rewards, costs, norm, None, **arguments)
    bound = actor_loss(actor, traj, rewards, costs, norm, state, **arguments)
    std = np.asarray(actor(traj.view)[1])
    entropy = np.log(std * np.sqrt(2 * np.pi * np.e)).sum(-1)[:-1]
    weight = np.array([[1.0, 0.0], [0.9, 0.0], [0.0, 0.0]])  # cumprod(0.9 cont) / 0.9
    advantage = (np.asarray(rewards.ret) - np.asarray(rewards.value)[:-1]) / 4.0
    expected = (weight * (-advantage - 3e-4 * entropy)).mean()
    assert float(free.loss) == pytest.approx(expected, rel=1e-4)
    assert (float(free.penalty), float(free.excess)) == (0.0, 0.0)
    ret = np.asarray(costs.ret)
    g = (ret.sum(0) if pessimistic else ret.mean(0)).mean() - 0.25
    u = 0.5 + 0.1 * g
    penalty = 0.5 * g + 0.05 * g**2 if u > 0 else -0.25 / 0.2
    assert float(bound.excess) == pytest.approx(g, rel=1e-4)
    assert float(bound.penalty) == pytest.approx(penalty, rel=1e-4)
    assert float(bound.loss) == pytest.approx(expected + penalty, rel=1e-4)


def test_a_price_weighs_costs_as_the_planner_does():
    actor, (traj, rewards, costs) = make_actor(), hand_made(CONFIG)
    norm = ReturnNormState(jnp.float32(-1.0), jnp.float32(3.0))  # a range of 4
    arguments = {"discount": 0.9, "cost_limit": 0.25, "pessimistic": True}
    free = actor_loss(actor, traj, rewards, costs, norm, None, **arguments)
    priced = actor_loss(
        actor, traj, rewards, costs, norm, None, price=jnp.float32(0.5), **arguments
    )
    weight = np.array([[1.0, 0.0], [0.9, 0.0], [0.0, 0.0]])  # cumprod(0.9 cont) / 0.9
    expected = 0.5 * (weight * np.asarray(costs.ret)).mean() / 4.0
    assert float(priced.penalty) == pytest.approx(expected, rel=1e-4)
    assert float(priced.loss - free.loss) == pytest.approx(expected, rel=1e-3)
    merit = rewards._replace(ret=rewards.ret - 0.5 * costs.ret)  # what a plan's score would be
    assert float(
        actor_loss(actor, traj, merit, costs, norm, None, **arguments).loss
    ) == pytest.approx(float(priced.loss), rel=1e-4)


def test_small_returns_are_not_blown_up():
    actor, (traj, rewards, costs) = make_actor(), hand_made(CONFIG)
    arguments = {"discount": 0.9, "cost_limit": 0.0, "pessimistic": True}
    losses = [
        float(
            actor_loss(
                actor,
                traj,
                rewards,
                costs,
                ReturnNormState(jnp.float32(0.0), jnp.float32(high)),
                None,
                **arguments,
            ).loss
        )
        for high in (0.01, 1.0)
    ]
    assert losses[0] == losses[1]


def test_critic_loss_matches_plain_numpy():
    critic, slow, feat = make_critic(1), make_critic(2), feats(3, 2)
    rng = np.random.default_rng(9)
    target, weight = rng.normal(0, 20, (3, 2)), rng.random((3, 2))
    bins = np.linspace(-20, 20, CONFIG.bins)

    def log_prob(x: np.ndarray) -> np.ndarray:
        logits = np.asarray(critic(feat), np.float64)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        out = np.zeros(x.shape)
        for i in np.ndindex(x.shape):
            position = (np.sign(x[i]) * np.log1p(abs(x[i])) + 20) / (bins[1] - bins[0])
            below, share = int(position), position - int(position)
            out[i] = (1 - share) * log_p[i][below] + share * log_p[i][below + 1]
        return out

    expected = -(weight * (log_prob(target) + 0.7 * log_prob(np.asarray(slow.value(feat))))).mean()
    got = critic_loss(
        critic, slow, feat, jnp.asarray(target, jnp.float32), jnp.asarray(weight, jnp.float32), 0.7
    )
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_trajectory_returns_discount_the_arrival(model: WorldModel):
    # Reward 1 on arriving at state 1, where the episode ends: the value is not bootstrapped.
    ret = trajectory_returns(
        jnp.ones((1, 1)), jnp.array([[7.0], [100.0]]), jnp.array([[1.0], [0.0]]), 0.9, 0.95
    ).ret
    np.testing.assert_allclose(ret, [[1.0]])
    ret = trajectory_returns(
        jnp.ones((1, 1)), jnp.array([[7.0], [100.0]]), jnp.array([[0.0], [1.0]]), 0.9, 0.95
    ).ret
    np.testing.assert_allclose(ret, [[91.0]])


def test_imagined_costs_have_a_discount_and_a_lambda_of_their_own(model: WorldModel):
    imagination = ImaginationConfig(
        discount_horizon=10.0, lam=0.95, cost_discount_horizon=4.0, cost_lam=0.3
    )
    critic, cost_critic, (traj, *_) = make_critic(1), make_critic(2), hand_made(CONFIG)
    rewards, costs = imagined_returns(model, critic, cost_critic, traj, imagination)
    arrived = jax.tree.map(lambda x: x[1:], traj.belief)
    for got, signal, net, discount, lam in (
        (rewards, model.reward(arrived.feat), critic, 0.9, 0.95),
        (costs, model.cost(arrived), cost_critic, 0.75, 0.3),
    ):
        expected = trajectory_returns(signal, net.value(traj.view), traj.cont, discount, lam)
        chex.assert_trees_all_close(got, expected, rtol=1e-5)


def test_slow_copy():
    slow, fast = {"w": jnp.array([0.0])}, {"w": jnp.array([10.0])}
    # the first update copies
    np.testing.assert_allclose(update_slow(slow, fast, jnp.int32(0), 0.02)["w"], [10.0])
    np.testing.assert_allclose(update_slow(slow, fast, jnp.int32(1), 0.02)["w"], [0.2], rtol=1e-6)
