"""Returns of imagined trajectories and the actor's loss
(docs/concepts/safedreamer.md#imagination).

Shapes: H imagined steps, N starts; time first, row 0 is the start.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.lagrangian import AugmentedState, augmented_penalty
from agents.nn.distributions import normal_entropy
from agents.nn.gaussian import normal_log_prob
from agents.returns import ReturnNormState, discount_weights, lambda_return, return_scale
from agents.safedreamer.actor_critic import Actor, Critic
from agents.safedreamer.config import ImaginationConfig
from agents.safedreamer.imagine import Trajectory
from agents.safedreamer.world_model import WorldModel

sg = jax.lax.stop_gradient


class Returns(NamedTuple):
    """reward [H, N] on arriving at rows 1..H; value [H+1, N].

    ret [H, N], the λ-return of rows 0..H-1.
    """

    reward: jax.Array
    value: jax.Array
    ret: jax.Array


def trajectory_returns(
    reward: jax.Array, value: jax.Array, cont: jax.Array, discount: float, lam: float
) -> Returns:
    """λ-returns of rewards (or costs) [H, N] with values [H+1, N] and continuation [H+1, N]."""
    return Returns(reward, value, lambda_return(reward, value, discount * cont[1:], lam))


def imagined_returns(
    model: WorldModel,
    critic: Critic,
    cost_critic: Critic | None,
    traj: Trajectory,
    imagination: ImaginationConfig,
) -> tuple[Returns, Returns | None]:
    """Returns of rewards and, with a cost critic, of costs along a trajectory."""
    arrived = jax.tree.map(lambda x: x[1:], traj.belief)
    rewards = trajectory_returns(
        model.reward(arrived.feat),
        critic.value(traj.view),
        traj.cont,
        imagination.discount,
        imagination.lam,
    )
    if cost_critic is None:
        return rewards, None
    cost, value = model.cost(arrived), cost_critic.value(traj.view)
    return rewards, trajectory_returns(
        cost, value, traj.cont, imagination.cost_discount, imagination.lam_of_costs
    )


def with_gradient(actor: Actor, traj: Trajectory, returns: Returns) -> Returns:
    """The same returns and values, with the gradient chosen by `actor.gradient`.

    The terms of DreamerV2's actor loss (arXiv:2010.02193) as a choice of what is differentiated:

        dynamics   dR/da through the model, unchanged
        reinforce  d log pi(a) * (R - v), with R, v and a held fixed
        mixed      share * reinforce + (1 - share) * dynamics

    Values do not change, so losses, penalties and critics are the same under all three.
    """
    if actor.config.gradient == "dynamics":
        return returns
    share = actor.config.reinforce_share if actor.config.gradient == "mixed" else 1.0
    log_prob = normal_log_prob(sg(traj.action[:-1]), *actor(sg(traj.view[:-1])))
    score = (log_prob - sg(log_prob)) * sg(returns.ret - returns.value[:-1])
    return returns._replace(
        value=_scaled_gradient(returns.value, 1.0 - share),
        ret=_scaled_gradient(returns.ret, 1.0 - share) + share * score,
    )


def _scaled_gradient(x: jax.Array, scale: float) -> jax.Array:
    """x, with its gradient multiplied by `scale`."""
    return sg(x) if scale == 0.0 else sg(x) + scale * (x - sg(x))


class ActorTerms(NamedTuple):
    """Parts of the actor's objective; scalars but for entropy [H+1, N]."""

    loss: jax.Array
    penalty: jax.Array
    excess: jax.Array
    entropy: jax.Array


def actor_loss(
    actor: Actor,
    traj: Trajectory,
    rewards: Returns,
    costs: Returns | None,
    norm: ReturnNormState,
    augmented: AugmentedState | None,
    *,
    discount: float,
    cost_limit: float,
    pessimistic: bool,
    price: jax.Array | None = None,
) -> ActorTerms:
    """Weighted mean of -advantage - entropy bonus, plus the penalty of the augmented Lagrangian or,
    if given, of a `price`.

    advantage = (R - v) / max(1, p95 - p5);   weight = cumprod(discount * cont) / discount
    excess = mean over starts of (sum over steps of Rc if pessimistic else mean) - cost_limit

    `price` is an external multiplier: a unit of cost return weighs as much as `price` units of
    return, as in the planner's score R - price Rc.
    """
    entropy = normal_entropy(actor(sg(traj.view))[1])
    advantage = (rewards.ret - rewards.value[:-1]) / return_scale(norm)
    weight = sg(discount_weights(traj.cont, discount))[:-1]
    loss = (weight * (-advantage - actor.config.entropy_scale * entropy[:-1])).mean()
    if price is not None and costs is not None:
        penalty = price * (weight * costs.ret).mean() / return_scale(norm)
        return ActorTerms(loss + penalty, penalty, jnp.zeros(()), entropy)
    if augmented is None or costs is None:
        return ActorTerms(loss, jnp.zeros(()), jnp.zeros(()), entropy)
    per_start = costs.ret.sum(0) if pessimistic else costs.ret.mean(0)
    excess = per_start.mean() - cost_limit
    penalty = augmented_penalty(augmented, excess)
    return ActorTerms(loss + penalty, penalty, excess, entropy)
