"""Constrained cross-entropy planner (SafeDreamer, arXiv:2307.07176, Alg. 1).

One loop for all variants (docs/concepts/safedreamer.md#planner).

Pure functions: an evaluation of plans and a scorer in, a plan out. Nothing here knows environments,
networks or files; OSRP, OSRP-Lag and CEM differ by a scorer and by `PlannerConfig`.

Shapes: E environments, N candidates, K elites, H planned steps, A actions. A plan is [H+1, A]; its
last row is never executed by the model and exists so that the shifted warm start has a row to
repeat.
Departs from the release: unsafe candidates are masked, never padded into the elites; a cost equal
to the limit is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.safedreamer.config import PlannerConfig


class Outcomes(NamedTuple):
    """What the model predicts of plans, each [E, N].

    ret and cost_return are λ-returns at the start, reward_sum the undiscounted sum of rewards;
    episode_cost is the plan's cost extrapolated to a whole episode, comparable to the cost limit.
    """

    ret: jax.Array
    reward_sum: jax.Array
    cost_return: jax.Array
    episode_cost: jax.Array


class Plan(NamedTuple):
    """Final Gaussian [E, H+1, A] and a report of the last iteration's candidates, each [E].

    safe_fraction: share within the cost limit; ret, cost: mean λ-return and episode cost of the
    elites; spread: mean std.
    """

    mean: jax.Array
    std: jax.Array
    safe_fraction: jax.Array
    ret: jax.Array
    cost: jax.Array
    spread: jax.Array


Evaluate = Callable[[jax.Array, jax.Array], Outcomes]
Scorer = Callable[[Outcomes, jax.Array], jax.Array]

SCORERS: dict[str, Scorer] = {
    "return": lambda outcomes, multiplier: outcomes.ret,
    "lagrangian": lambda outcomes, multiplier: outcomes.ret - multiplier * outcomes.cost_return,
    "reward_sum": lambda outcomes, multiplier: outcomes.reward_sum,
}


def rank_plans(
    score: jax.Array, cost: jax.Array, cost_limit: float | jax.Array, elites: int
) -> jax.Array:
    """Key [E, N] by which the best plans are chosen.

    The score of safe plans, or minus the cost if fewer than `elites` are safe.
    """
    safe = cost <= cost_limit
    enough = safe.sum(-1, keepdims=True) >= elites
    return jnp.where(enough, jnp.where(safe, score, -jnp.inf), -cost)


def elite_weights(config: PlannerConfig, key: jax.Array) -> jax.Array:
    """Weights [E, K] that sum to one, from the elites' keys.

    Uniform, or softmax(temperature * key).
    """
    if config.elite_weights == "softmax":
        return jax.nn.softmax(config.temperature * key, -1)
    return jnp.full_like(key, 1.0 / key.shape[-1])


def warm_start(previous: jax.Array, is_first: jax.Array) -> jax.Array:
    """Last plan [E, H+1, A] shifted by one step, its last row repeated.

    Zeros where an episode starts.
    """
    shifted = jnp.concatenate([previous[:, 1:], previous[:, -1:]], 1)
    return jnp.where(is_first[:, None, None], 0.0, shifted)


def plan(
    config: PlannerConfig,
    evaluate: Evaluate,
    start_mean: jax.Array,
    proposals: jax.Array,
    cost_limit: float | jax.Array,
    multiplier: jax.Array,
    key: jax.Array,
) -> Plan:
    """Refit a Gaussian over plans `config.iterations` times.

    Args: evaluate maps plans [E, N, H+1, A] and a key to `Outcomes`; start_mean [E, H+1, A];
    proposals [E, M, H+1, A] join the candidates of every iteration (M may be 0); multiplier is a
    scalar for the scorer.
    """
    score = SCORERS[config.objective]

    def refit(gaussian, step_key):
        mean, std = gaussian
        noise_key, model_key = jax.random.split(step_key)
        noise = jax.random.normal(noise_key, (mean.shape[0], config.candidates, *mean.shape[1:]))
        candidates = jnp.clip(mean[:, None] + std[:, None] * noise, -1.0, 1.0)
        candidates = jnp.concatenate([proposals, candidates], 1)
        outcomes = evaluate(candidates, model_key)
        rank = score(outcomes, multiplier)
        if config.feasible_filter:
            rank = rank_plans(rank, outcomes.episode_cost, cost_limit, config.elites)
        best, index = jax.lax.top_k(rank, config.elites)
        weights = elite_weights(config, best)[..., None, None]
        elites = jnp.take_along_axis(candidates, index[..., None, None], 1)
        elite_mean = (weights * elites).sum(1)
        elite_std = jnp.sqrt((weights * jnp.square(elites - elite_mean[:, None])).sum(1))
        new_mean = config.momentum * mean + (1.0 - config.momentum) * elite_mean
        new_std = jnp.maximum(config.min_std, elite_std)
        report = (
            (outcomes.episode_cost <= cost_limit).mean(-1),
            jnp.take_along_axis(outcomes.ret, index, 1).mean(-1),
            jnp.take_along_axis(outcomes.episode_cost, index, 1).mean(-1),
        )
        return (new_mean, new_std), report

    start = (start_mean, jnp.full_like(start_mean, config.init_std))
    (mean, std), reports = jax.lax.scan(refit, start, jax.random.split(key, config.iterations))
    safe_fraction, ret, cost = (x[-1] for x in reports)
    return Plan(mean, std, safe_fraction, ret, cost, std.mean((1, 2)))
