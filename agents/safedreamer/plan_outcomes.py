"""Evaluation of plans in the world model: the `Evaluate` that a SafeDreamer agent passes to the
planner.

Shapes: E environments, N plans each, H steps, A actions; the model runs E * N rollouts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.safedreamer.actor_critic import (
    Actor,
    Critic,
    actor_rollout,
    rollout,
    trajectory_returns,
)
from agents.safedreamer.planner import Evaluate, Outcomes
from agents.safedreamer.tracking import Belief
from agents.safedreamer.world_model import WorldModel


def repeat_belief(belief: Belief, count: int) -> Belief:
    """[E, ...] -> [E * count, ...], each row repeated `count` times consecutively."""
    return jax.tree.map(lambda x: jnp.repeat(x, count, axis=0), belief)


def actor_proposals(
    model: WorldModel, actor: Actor, start: Belief, count: int, horizon: int, key: jax.Array
) -> jax.Array:
    """Plans [E, count, H+1, A] sampled by the actor in the model, clipped to [-1, 1]."""
    envs = start.latent.deter.shape[0]
    _, actions = actor_rollout(model, actor, repeat_belief(start, count), horizon, key)
    return jnp.clip(actions.reshape(horizon + 1, envs, count, -1).transpose(1, 2, 0, 3), -1.0, 1.0)


def pessimistic(outcomes: Outcomes) -> Outcomes:
    """Reduce outcomes of S imagined rollouts per plan, [E, N, S] -> [E, N].

    Rewards are averaged, costs are the maximum.
    """
    return Outcomes(
        outcomes.ret.mean(-1),
        outcomes.reward_sum.mean(-1),
        outcomes.cost_return.max(-1),
        outcomes.episode_cost.max(-1),
    )


def make_evaluate(
    model: WorldModel,
    critic: Critic,
    cost_critic: Critic | None,
    start: Belief,
    *,
    discount: float,
    cost_discount: float,
    lam: float,
    cost_lam: float,
    cost_scale: float,
    sample: bool = True,
    bootstrap_costs: bool = True,
    pessimism: int = 1,
    return_scale: float | None = None,
) -> Evaluate:
    """Build the evaluation of plans from `start` [E, ...].

    `cost_scale` extrapolates the sum of a plan's predicted costs to an episode. `sample` draws
    latents; without it plans are evaluated along the prior's modes, so that none becomes an elite
    by a lucky sample. Without `bootstrap_costs` the cost return is the discounted sum of a plan's
    own costs, and the cost critic is not used. With `pessimism` above 1 every plan is imagined that
    many times. With `return_scale` the episode cost is that many times the cost return, instead of
    the scaled sum.
    """

    def evaluate(plans: jax.Array, key: jax.Array) -> Outcomes:
        if pessimism == 1:
            return imagined(plans, key)
        envs, count = plans.shape[:2]
        repeated = imagined(jnp.repeat(plans, pessimism, 1), key)
        return pessimistic(jax.tree.map(lambda x: x.reshape(envs, count, pessimism), repeated))

    def imagined(plans: jax.Array, key: jax.Array) -> Outcomes:
        envs, count, rows, _ = plans.shape
        actions = plans.transpose(2, 0, 1, 3).reshape(rows, envs * count, -1)
        beliefs, _ = rollout(
            model,
            repeat_belief(start, count),
            lambda _, action: action,
            actions,
            key if sample else None,
        )
        # Only states 1..H matter: the λ-return at the start reads neither the value nor the
        # continuation of the start itself.
        beliefs = jax.tree.map(lambda x: x[1:], beliefs)
        feat, view = beliefs.feat, model.view(beliefs)
        cont = jnp.concatenate([jnp.ones((1, envs * count)), model.cont(feat)], 0)

        def returns(step_reward, value, discount, lam):
            return trajectory_returns(
                step_reward, jnp.concatenate([value[:1], value], 0), cont, discount, lam
            )

        rewards = returns(model.reward(feat), critic.value(view), discount, lam)
        costs = model.cost(beliefs)
        if cost_critic is None:
            cost_return = jnp.zeros(envs * count)
        elif bootstrap_costs:
            cost_return = returns(costs, cost_critic.value(view), cost_discount, cost_lam).ret[0]
        else:
            cost_return = returns(costs, jnp.zeros_like(costs), cost_discount, 1.0).ret[0]
        episode_cost = (
            cost_scale * costs.sum(0) if return_scale is None else return_scale * cost_return
        )
        per_plan = Outcomes(rewards.ret[0], rewards.reward.sum(0), cost_return, episode_cost)
        return jax.tree.map(lambda x: x.reshape(envs, count), per_plan)

    return evaluate
