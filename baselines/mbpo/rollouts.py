"""Branched rollouts of the policy in the ensemble (MBPO, arXiv:1906.08253, Alg. 2).

Each step of each row is predicted by a newly drawn elite. A row ends when its termination is
sampled; later steps have weight 0.

Shapes: H model steps, N rows, K elites, O = Z + 2 predicted numbers, A action.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from baselines.layers import Normal
from baselines.mbpo.config import RolloutConfig
from baselines.mbpo.ensemble import Ensemble, EnsembleParams, Scales
from baselines.sac.actor_critic import squash
from baselines.sac.update import Transitions


class RolloutNoise(NamedTuple):
    """Random numbers of rollouts: elite [H, N] (index among the elites), unit normals of actions
    [H, N, A] and predictions [H, N, O], uniforms of termination [H, N].
    """

    member: jax.Array
    action: jax.Array
    state: jax.Array
    end: jax.Array


class Rollouts(NamedTuple):
    """Transitions [H, N, ...], the log-density of their actions [H, N], the last states [N, Z]."""

    data: Transitions
    log_prob: jax.Array
    last: jax.Array


def draw_noise(
    key: jax.Array, steps: int, rows: int, size: int, action_dim: int, elites: int
) -> RolloutNoise:
    """Draw the random numbers of rollouts."""
    member, action, state, end = jax.random.split(key, 4)
    return RolloutNoise(
        jax.random.randint(member, (steps, rows), 0, elites),
        jax.random.normal(action, (steps, rows, action_dim)),
        jax.random.normal(state, (steps, rows, size + 2)),
        jax.random.uniform(end, (steps, rows)),
    )


def rollout_length(config: RolloutConfig, updates: jax.Array) -> jax.Array:
    """Model steps of a rollout after `updates` (MBPO, appendix; updates in place of its epochs):
    linear from `grow_from` to `grow_until`, rounded down.
    """
    span = max(config.grow_until - config.grow_from, 1)
    share = jnp.clip((updates - config.grow_from) / span, 0.0, 1.0)
    grown = config.length_last - config.length_first
    return config.length_first + jnp.trunc(share * grown).astype(jnp.int32)


class After(NamedTuple):
    """Outcome of an action: states z [N, Z]; reward, cost and termination [N]."""

    z: jax.Array
    reward: jax.Array
    cost: jax.Array
    terminal: jax.Array


def advance(
    ensemble: Ensemble,
    elites: EnsembleParams,
    scales: Scales,
    z: jax.Array,
    action: jax.Array,
    drawn: RolloutNoise,
) -> After:
    """One sampled model step from states z [N, Z] with actions [N, A]; the noise of actions in
    `drawn` [N, ...] is not used.
    """
    inputs = scales.inputs.scale(jnp.concatenate([z, action], -1))
    count = jax.tree.leaves(elites.net)[0].shape[0]
    pred = ensemble.predict(elites, jnp.broadcast_to(inputs, (count, *inputs.shape)))
    mean, log_var, logit = (x[drawn.member, jnp.arange(z.shape[0])] for x in pred)
    values = scales.targets.unscale(mean + jnp.exp(0.5 * log_var) * drawn.state)
    outcome = values.at[:, :-2].add(z)
    if scales.outcomes is not None:
        outcome = scales.outcomes.clip(outcome)
    terminal = (drawn.end < jax.nn.sigmoid(logit)).astype(jnp.float32)
    return After(outcome[:, :-2], outcome[:, -2], outcome[:, -1], terminal)


def rollout(
    ensemble: Ensemble,
    elites: EnsembleParams,
    scales: Scales,
    policy: Callable[[jax.Array], Normal],
    start: jax.Array,
    alive: jax.Array,
    noise: RolloutNoise,
) -> Rollouts:
    """Roll out the policy's sampled actions from states `start` [N, Z].

    Rows that are not `alive` [N] have weight 0. `elites` are the parameters of the elites only.
    """

    def step(carry, drawn: RolloutNoise):
        z, alive = carry
        action, log_prob = squash(policy(z), drawn.action)
        after = advance(ensemble, elites, scales, z, action, drawn)
        data = Transitions(z, action, *after, alive)
        return (after.z, alive * (1.0 - after.terminal)), (data, log_prob)

    (last, _), (data, log_prob) = jax.lax.scan(step, (start, alive), noise)
    return Rollouts(data, log_prob, last)
