"""Evaluation of plans in the world model: the `Evaluate` that a SafeDreamer agent passes to the
planner.

Shapes: E environments, N plans each, H steps, A actions; the model runs E * N rollouts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.safedreamer.actor_critic import Actor
from agents.safedreamer.config import ImaginationConfig
from agents.safedreamer.imagine import actor_rollout, rollout
from agents.safedreamer.networks import Networks
from agents.safedreamer.objectives import trajectory_returns
from agents.safedreamer.planner import Evaluate, Outcomes
from agents.safedreamer.planner_config import PlannerConfig
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
    nets: Networks,
    start: Belief,
    imagination: ImaginationConfig,
    planner: PlannerConfig,
    *,
    cost_scale: float,
    return_scale: float,
) -> Evaluate:
    """Build the evaluation of plans from `start` [E, ...].

    The episode cost is `cost_scale` times the sum of a plan's predicted costs or, with
    `feasible_cost` return, `return_scale` times its cost return. Without sampled latents, plans are
    evaluated along the prior's modes, so that none becomes an elite by a lucky sample.
    """
    model = nets.model

    def evaluate(plans: jax.Array, key: jax.Array) -> Outcomes:
        if planner.pessimism == 1:
            return imagined(plans, key)
        envs, count = plans.shape[:2]
        repeated = imagined(jnp.repeat(plans, planner.pessimism, 1), key)
        return pessimistic(
            jax.tree.map(lambda x: x.reshape(envs, count, planner.pessimism), repeated)
        )

    def imagined(plans: jax.Array, key: jax.Array) -> Outcomes:
        envs, count, rows, _ = plans.shape
        actions = plans.transpose(2, 0, 1, 3).reshape(rows, envs * count, -1)
        beliefs, _ = rollout(
            model,
            repeat_belief(start, count),
            lambda _, action: action,
            actions,
            key if planner.latents == "sample" else None,
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

        rewards = returns(
            model.reward(feat), nets.critic.value(view), imagination.discount, imagination.lam
        )
        costs, discount = model.cost(beliefs), imagination.cost_discount
        if nets.cost_critic is None:
            cost_return = jnp.zeros(envs * count)
        elif planner.cost_critic:
            value = nets.cost_critic.value(view)
            cost_return = returns(costs, value, discount, imagination.lam_of_costs).ret[0]
        else:  # a plan's own costs only
            cost_return = returns(costs, jnp.zeros_like(costs), discount, 1.0).ret[0]
        by_return = planner.feasible_cost == "return"
        episode_cost = return_scale * cost_return if by_return else cost_scale * costs.sum(0)
        per_plan = Outcomes(rewards.ret[0], rewards.reward.sum(0), cost_return, episode_cost)
        return jax.tree.map(lambda x: x.reshape(envs, count), per_plan)

    return evaluate
