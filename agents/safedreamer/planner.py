"""Constrained cross-entropy planner (SafeDreamer, arXiv:2307.07176, Alg. 1).

One loop for all variants (docs/concepts/safedreamer.md#planner).

Pure functions: an evaluation of plans and a scorer in, a plan out, independent of environments,
networks and files. OSRP, OSRP-Lag and CEM differ by a scorer and by `PlannerConfig`.

Shapes: E environments, N candidates, K elites, H planned steps, A actions. A plan is [H+1, A]; its
last row is never executed in the model and only gives the shifted warm start a row to repeat.
Departs from the release: unsafe candidates are masked, never padded into the elites; a cost equal
to the limit is safe.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.safedreamer.plan_noise import plan_noise
from agents.safedreamer.planner_config import PlannerConfig


class Outcomes(NamedTuple):
    """Predicted outcomes of plans, each [E, N].

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
    elites; spread: mean std. kept: its best `config.kept_elites` plans [E, k, H+1, A], best first.
    """

    mean: jax.Array
    std: jax.Array
    safe_fraction: jax.Array
    ret: jax.Array
    cost: jax.Array
    spread: jax.Array
    kept: jax.Array


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
    """Ranking key [E, N] of plans, highest is best.

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
    """Shift the last plans [E, ..., H+1, A] by one step, repeating their last row.

    Zeros where an episode starts.
    """
    shifted = jnp.concatenate([previous[..., 1:, :], previous[..., -1:, :]], -2)
    return jnp.where(is_first.reshape(-1, *[1] * (previous.ndim - 1)), 0.0, shifted)


class Search(NamedTuple):
    """State between refits: a Gaussian [E, H+1, A] and kept elites [E, k, H+1, A]."""

    mean: jax.Array
    std: jax.Array
    kept: jax.Array


def plan(
    config: PlannerConfig,
    evaluate: Evaluate,
    start_mean: jax.Array,
    proposals: jax.Array,
    cost_limit: float | jax.Array,
    multiplier: jax.Array,
    key: jax.Array,
    kept: jax.Array | None = None,
) -> Plan:
    """Refit a Gaussian over plans `config.iterations` times.

    Args: evaluate maps plans [E, N, H+1, A] and a key to `Outcomes`; start_mean [E, H+1, A];
    proposals [E, M, H+1, A] join the candidates of every iteration (M may be 0); multiplier is a
    scalar for the scorer; kept [E, k, H+1, A] are candidates of the first iteration, None for none.
    """
    score = SCORERS[config.objective]

    def refit(search: Search, step_key: jax.Array, count: int) -> tuple[Search, tuple]:
        """One iteration with `count` candidates in addition to the proposals."""
        noise_key, model_key = jax.random.split(step_key)
        mean, std, kept = search
        shape = (mean.shape[0], count - kept.shape[1], *mean.shape[1:])
        noise = plan_noise(noise_key, shape, config.noise_exponent)
        candidates = jnp.clip(mean[:, None] + std[:, None] * noise, -1.0, 1.0)
        candidates = jnp.concatenate([proposals, kept, candidates], 1)
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
        return Search(new_mean, new_std, elites[:, : config.kept_elites]), report

    envs = start_mean.shape[0]
    if kept is None:
        kept = jnp.zeros((envs, 0, *start_mean.shape[1:]))
    search = Search(start_mean, jnp.full_like(start_mean, config.init_std), kept)
    keys = jax.random.split(key, config.iterations)
    counts = config.candidates_per_iteration
    if len(set(counts)) == 1 and kept.shape[1] == config.kept_elites:
        search, reports = jax.lax.scan(partial(refit, count=counts[0]), search, keys)
        last = jax.tree.map(lambda x: x[-1], reports)
    else:  # iterations of different sizes cannot share a scan
        reports = []
        for step_key, count in zip(keys, counts, strict=True):
            search, report = refit(search, step_key, count)
            reports.append(report)
        last = reports[-1]
    safe_fraction, ret, cost = last
    return Plan(
        search.mean, search.std, safe_fraction, ret, cost, search.std.mean((1, 2)), search.kept
    )
