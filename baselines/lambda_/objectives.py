"""Objective and constraint of the actor.

Returns in the most rewarding, and in the most costly, of several sampled models.

docs/concepts/lambda.md#objectives

Shapes: H imagined steps, P sampled models, N starts, F features; time first.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.lagrangian import AugmentedState, augmented_penalty
from agents.returns import lambda_return


class Chosen(NamedTuple):
    """One trajectory per start, and its returns.

    feat [H, N, F], signal (rewards or costs) and terminal [H, N]; ret [H-1, N], the λ-returns;
    margin [], mean return of the chosen trajectories minus that of all.
    """

    feat: jax.Array
    signal: jax.Array
    terminal: jax.Array
    ret: jax.Array
    margin: jax.Array


def returns(
    signal: jax.Array,
    value: jax.Array,
    terminal: jax.Array,
    discount: float,
    lam: float,
    reverse: bool = False,
) -> jax.Array:
    """λ-returns of states 1..H-1, each including the state's own reward (or cost).

    All arguments [H, ...] -> [H-1, ...].

        R[t] = r[t] + discount (1 - terminal[t]) ((1 - lam) v[t+1] + lam R[t+1]),    R[H] = v[H]

    `reverse` as published: step t gets the return of step H-t.
    """
    ret = lambda_return(signal[:-1], value, discount * (1.0 - terminal[:-1]), lam)
    return ret[::-1] if reverse else ret


def take(x: jax.Array, model: jax.Array) -> jax.Array:
    """Trajectories of the chosen models: [H, P, N, ...] and indices [N] -> [H, N, ...]."""
    index = model.reshape(1, 1, -1, *[1] * (x.ndim - 3))
    return jnp.take_along_axis(x, index, 1)[:, 0]


def choose(
    feat: jax.Array,
    signal: jax.Array,
    terminal: jax.Array,
    value: jax.Array,
    *,
    discount: float,
    lam: float,
    reverse: bool,
    by_value: bool,
) -> Chosen:
    """Choose for each start the trajectory of highest mean λ-return (or, as published, of highest
    mean value).

    feat [H, P, N, F]; signal, terminal and value [H, P, N]. This is optimistic for rewards and
    pessimistic for costs. Gradients reach the chosen trajectories only.
    """
    ret = returns(signal, value, terminal, discount, lam, reverse)
    score = value.mean(0) if by_value else ret.mean(0)
    model = jax.lax.stop_gradient(score).argmax(0)
    chosen = take(ret, model)
    return Chosen(
        take(feat, model),
        take(signal, model),
        take(terminal, model),
        chosen,
        chosen.mean() - ret.mean(),
    )


def over_starts(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean of x [H, N] with starts weighted by `weight` [N]; 0 if all weights are 0."""
    return (weight * x).mean(0).sum() / jnp.maximum(weight.sum(), 1.0)


class ActorTerms(NamedTuple):
    """Parts of the actor's loss; scalars."""

    loss: jax.Array
    penalty: jax.Array
    excess: jax.Array


def actor_loss(
    reward_returns: jax.Array,
    cost_returns: jax.Array,
    start_cont: jax.Array,
    augmented: AugmentedState,
    *,
    discount: float,
    limit: float,
) -> ActorTerms:
    """-mean of discount^t times the optimistic returns, plus the augmented Lagrangian's penalty.

    returns [H-1, N].

    excess = mean of the pessimistic cost returns - limit

    In means, starts are weighted by their continuation `start_cont` [N], 1 - is_terminal: nothing
    follows a terminal state.
    """
    weight = discount ** jnp.arange(reward_returns.shape[0])
    excess = over_starts(cost_returns, start_cont) - limit
    penalty = augmented_penalty(augmented, excess)
    return ActorTerms(
        -over_starts(weight[:, None] * reward_returns, start_cont) + penalty, penalty, excess
    )
