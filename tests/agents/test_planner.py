"""The constrained planner on analytic outcomes.

Elite selection, warm start, the refit and its fixed points.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.safedreamer.plan_outcomes import pessimistic
from agents.safedreamer.planner import (
    SCORERS,
    Evaluate,
    Outcomes,
    Plan,
    elite_weights,
    plan,
    rank_plans,
    warm_start,
)
from agents.safedreamer.planner_config import PlannerConfig
from tests.examples import examples

CONFIG = PlannerConfig(horizon=2, candidates=64, elites=8, iterations=1, momentum=0.0)
ROWS, ACTIONS = CONFIG.horizon + 1, 2


def outcomes_of(ret: jax.Array, cost: jax.Array) -> Outcomes:
    return Outcomes(ret=ret, reward_sum=ret, cost_return=cost, episode_cost=cost)


def from_plans(ret, cost) -> Evaluate:
    """Outcomes as functions of the plans [E, N, H+1, A] alone."""
    return lambda plans, key: outcomes_of(ret(plans), cost(plans))


@partial(jax.jit, static_argnums=(0, 1))
def _run(config, evaluate, start, proposals, limit, multiplier, key):
    return plan(config, evaluate, start, proposals, limit, multiplier, key)


def run(
    evaluate: Evaluate,
    *,
    config: PlannerConfig = CONFIG,
    envs: int = 1,
    proposals: jax.Array | None = None,
    limit: float = 0.0,
    multiplier: float = 0.0,
    seed: int = 0,
) -> Plan:
    start = jnp.zeros((envs, config.horizon + 1, ACTIONS))
    proposals = jnp.zeros((envs, 0, *start.shape[1:])) if proposals is None else proposals
    return Plan(
        *map(
            np.asarray,
            _run(config, evaluate, start, proposals, limit, multiplier, jax.random.key(seed)),
        )
    )


def no_cost(plans):
    return jnp.zeros(plans.shape[:2])


def first_action(plans):
    return plans[:, :, 0, 0]


# Which plans become elites

COSTS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0])
costs_and_scores = st.lists(
    st.tuples(COSTS, st.floats(-1e6, 1e6, width=32)), min_size=10, max_size=10
)


@partial(jax.jit, static_argnames="elites")
def choose(score, cost, limit, elites):
    return jax.lax.top_k(rank_plans(score[None], cost[None], limit, elites), elites)[1][0]


@settings(max_examples=examples(100))
@given(costs_and_scores, st.sampled_from([1, 4]), st.sampled_from([0.0, 1.0, 3.0]))
def test_no_unsafe_elite_while_enough_are_safe(
    plans: list[tuple[float, float]], elites: int, limit: float
):
    cost, score = np.array(plans, np.float32).T
    chosen = np.asarray(choose(jnp.asarray(score), jnp.asarray(cost), limit, elites))
    safe = cost <= limit
    if safe.sum() >= elites:
        assert safe[chosen].all()
        assert sorted(score[chosen]) == sorted(score[safe])[-elites:]  # the best of the safe ones
    else:
        assert sorted(cost[chosen]) == sorted(cost)[:elites]  # the least costly overall


def random_traps(plans, key):
    """Unsafe plans have by far the highest return.

    Which plans are unsafe is random, and so is their share in each environment.
    """
    share_key, key = jax.random.split(key)
    unsafe = jax.random.uniform(key, plans.shape[:2]) < jax.random.uniform(
        share_key, (plans.shape[0], 1)
    )
    return outcomes_of(first_action(plans) + 1e3 * unsafe, 100.0 * unsafe)


@settings(max_examples=examples(40))
@given(st.integers(0, 10**6))
def test_plan_takes_no_unsafe_elite_while_enough_are_safe(seed: int):
    result = run(random_traps, config=replace(CONFIG, iterations=3), envs=16, seed=seed)
    safe = result.safe_fraction * CONFIG.candidates
    enough = safe >= CONFIG.elites - 1e-3
    np.testing.assert_array_equal(result.cost[enough], 0.0)
    assert (result.ret[enough] <= 1.0).all()
    # Where fewer are safe, all of them are elites: lowest cost first.
    np.testing.assert_allclose(
        result.cost[~enough], 100.0 * (1 - safe[~enough] / CONFIG.elites), rtol=1e-4
    )


def test_lowest_cost_first_when_nothing_is_safe():
    config = replace(CONFIG, iterations=8, candidates=256, elites=16)
    # Reward increases towards +1, cost has its minimum of 5 at -0.5.
    evaluate = from_plans(
        lambda p: 1e3 * first_action(p), lambda p: 5.0 + jnp.square(first_action(p) + 0.5)
    )
    result = run(evaluate, config=config, limit=2.0)
    assert float(result.safe_fraction[0]) == 0.0
    assert float(result.mean[0, 0, 0]) == pytest.approx(-0.5, abs=0.02)


def test_cost_equal_to_the_limit_is_safe():
    evaluate = from_plans(first_action, lambda p: jnp.full(p.shape[:2], 2.0))
    at_limit, below = run(evaluate, limit=2.0), run(evaluate, limit=1.999)
    assert (float(at_limit.safe_fraction[0]), float(below.safe_fraction[0])) == (1.0, 0.0)
    # Safe: ranked by return, hence by the first action. Unsafe: ranked by cost, which is the same
    # for all plans.
    assert float(at_limit.ret[0]) > 0.9 > float(below.ret[0])


def test_limit_zero_without_cost_ranks_by_return():
    # The release tests cost < limit, which no plan can meet at a limit of zero.
    result = run(from_plans(first_action, no_cost), limit=0.0)
    assert float(result.safe_fraction[0]) == 1.0
    assert float(result.ret[0]) > 0.9


def test_without_filter_costs_do_not_matter():
    evaluate = from_plans(first_action, lambda p: 100.0 * (first_action(p) > 0))
    free, filtered = run(evaluate, config=replace(CONFIG, feasible_filter=False)), run(evaluate)
    assert float(free.ret[0]) > 0.9
    assert float(filtered.ret[0]) <= 0.0


def test_scorers_by_hand():
    outcomes = Outcomes(
        jnp.array([[1.0, 2.0]]), jnp.array([[5.0, 4.0]]), jnp.array([[0.0, 3.0]]), jnp.zeros((1, 2))
    )
    multiplier = jnp.float32(0.5)
    np.testing.assert_allclose(SCORERS["return"](outcomes, multiplier), [[1.0, 2.0]])
    np.testing.assert_allclose(SCORERS["lagrangian"](outcomes, multiplier), [[1.0, 0.5]])
    np.testing.assert_allclose(SCORERS["reward_sum"](outcomes, multiplier), [[5.0, 4.0]])


def test_multiplier_moves_the_lagrangian_plan():
    # return 2a - a^2 peaks at 1, return - multiplier * a at 1 - multiplier / 2.
    config = replace(CONFIG, objective="lagrangian", iterations=8, candidates=256, elites=16)
    evaluate = from_plans(lambda p: 2 * first_action(p) - jnp.square(first_action(p)), first_action)
    for multiplier, best in ((0.5, 0.75), (2.0, 0.0)):
        result = run(evaluate, config=config, limit=1e9, multiplier=multiplier)
        assert float(result.mean[0, 0, 0]) == pytest.approx(best, abs=0.03)


# Warm start, environments, proposals


def test_warm_start_shifts_and_resets_per_environment():
    previous = jnp.arange(12.0).reshape(2, 3, 2)
    got = warm_start(previous, jnp.array([False, True]))
    np.testing.assert_array_equal(got[0], [[2, 3], [4, 5], [4, 5]])
    np.testing.assert_array_equal(got[1], np.zeros((3, 2)))


def test_environments_do_not_influence_each_other():
    config = replace(CONFIG, iterations=3)

    def evaluate(target):
        return lambda plans, key: outcomes_of(
            -jnp.square(plans[:, :, 0] - target[:, None]).sum(-1), jnp.abs(first_action(plans))
        )

    targets = jnp.array([[0.3, -0.6], [0.9, 0.1], [-0.2, 0.5]])
    both = run(evaluate(targets), config=config, envs=3, limit=0.5)
    changed = run(
        evaluate(targets.at[1].set(jnp.array([-0.9, 0.9]))), config=config, envs=3, limit=0.5
    )
    for before, after in zip(both, changed):
        np.testing.assert_array_equal(np.delete(before, 1, 0), np.delete(after, 1, 0))
    assert not np.allclose(both.mean[1], changed.mean[1])
    # Each finds its own target, the second as close as its cost allows.
    final = run(
        evaluate(targets), config=replace(config, iterations=8, candidates=256), envs=3, limit=0.5
    ).mean[:, 0]
    np.testing.assert_allclose(final, targets.at[1, 0].set(0.5), atol=0.06)


def test_proposals_can_become_elites():
    config = replace(CONFIG, elites=1)
    proposal = jnp.full((1, 1, ROWS, ACTIONS), 0.123)
    likes_it = from_plans(lambda p: -jnp.abs(p - 0.123).sum((-1, -2)), no_cost)
    np.testing.assert_allclose(
        run(likes_it, config=config, proposals=proposal).mean[0],
        np.full((ROWS, ACTIONS), 0.123),
        rtol=1e-6,
    )
    unsafe = from_plans(
        lambda p: -jnp.abs(p - 0.123).sum((-1, -2)),
        lambda p: (jnp.abs(p - 0.123).sum((-1, -2)) < 1e-4) * 1.0,
    )
    assert not np.allclose(run(unsafe, config=config, proposals=proposal).mean[0], 0.123, atol=1e-3)


def test_candidates_stay_in_the_action_box():
    seen = from_plans(lambda p: jnp.where(jnp.abs(p).max((-1, -2)) > 1.0, 1e9, 0.0), no_cost)
    assert float(run(seen, config=replace(CONFIG, init_std=10.0)).ret[0]) == 0.0


# The refit


def test_elite_weights_by_hand():
    key = jnp.array([[0.3, 0.2, 0.0]])
    np.testing.assert_allclose(elite_weights(CONFIG, key), np.full((1, 3), 1 / 3), rtol=1e-6)
    softmax = np.exp([3.0, 2.0, 0.0]) / np.exp([3.0, 2.0, 0.0]).sum()
    np.testing.assert_allclose(
        elite_weights(replace(CONFIG, elite_weights="softmax", temperature=10.0), key)[0],
        softmax,
        rtol=1e-5,
    )


def test_refit_by_hand():
    # Two proposals outrank two candidates: mean (0.2 + 0.6) / 2, std their deviation, and 10 % of
    # the old mean, which is 0.
    config = replace(CONFIG, candidates=2, elites=2, momentum=0.1)
    values = jnp.array([0.2, 0.6]).reshape(1, 2, 1, 1)
    proposals = jnp.broadcast_to(values, (1, 2, ROWS, ACTIONS))
    evaluate = from_plans(
        lambda p: jnp.where(jnp.arange(p.shape[1]) < 2, jnp.array([[1.0, 3.0, 0.0, 0.0]]), -9.0),
        no_cost,
    )
    result = run(evaluate, config=config, proposals=proposals)
    np.testing.assert_allclose(result.mean, np.full((1, ROWS, ACTIONS), 0.9 * 0.4), rtol=1e-5)
    np.testing.assert_allclose(result.std, np.full((1, ROWS, ACTIONS), 0.2), rtol=1e-5)
    np.testing.assert_allclose(
        [result.ret[0], result.cost[0], result.spread[0]], [2.0, 0.0, 0.2], rtol=1e-5
    )
    # Weighted by softmax(ln 3 / 2 * key): weights 1/4 and 3/4, so mean 0.5 and variance 3/16 *
    # 0.4^2.
    weighted = replace(
        config, elite_weights="softmax", temperature=float(np.log(3) / 2), momentum=0.0
    )
    result = run(evaluate, config=weighted, proposals=proposals)
    np.testing.assert_allclose(result.mean, np.full((1, ROWS, ACTIONS), 0.5), rtol=1e-5)
    np.testing.assert_allclose(
        result.std, np.full((1, ROWS, ACTIONS), 0.4 * np.sqrt(3) / 4), rtol=1e-4
    )
    assert (
        float(run(evaluate, config=replace(config, min_std=0.5), proposals=proposals).std.min())
        == 0.5
    )


def test_finds_the_optimum_of_a_quadratic():
    rng = np.random.default_rng(0)
    target = jnp.asarray(rng.uniform(-0.8, 0.8, (3, ROWS, ACTIONS)), jnp.float32)
    evaluate = from_plans(lambda p: -jnp.square(p - target[:, None]).sum((-1, -2)), no_cost)
    result = run(
        evaluate,
        config=replace(CONFIG, candidates=512, elites=40, iterations=15, momentum=0.1),
        envs=3,
    )
    np.testing.assert_allclose(result.mean, target, atol=0.03)
    assert float(result.spread.max()) < 0.05


@pytest.mark.parametrize("bound", [0.4, -0.3])
def test_constrained_optimum_lies_on_the_boundary_of_a_half_space(bound: float):
    # Maximise a0 + a1 - |a|^2 / 2 subject to a0 <= bound: free optimum (1, 1), constrained (bound,
    # 1).
    def ret(plans):
        a = plans[:, :, 0]
        return a.sum(-1) - 0.5 * jnp.square(a).sum(-1)

    evaluate = from_plans(ret, lambda p: 50.0 * jnp.maximum(0.0, first_action(p) - bound))
    config = replace(CONFIG, candidates=512, elites=40, iterations=15, momentum=0.1)
    action = run(evaluate, config=config).mean[0, 0]
    np.testing.assert_allclose(action, [bound, 1.0], atol=0.04)
    assert float(action[0]) <= bound + 1e-5  # safe plans form a convex set


def test_last_row_does_not_reach_the_outcomes_but_is_planned():
    evaluate = from_plans(lambda p: -jnp.square(p[:, :, :-1]).sum((-1, -2)), no_cost)
    result = run(evaluate, config=replace(CONFIG, candidates=512, elites=40, iterations=10))
    assert float(result.std[0, :-1].max()) < 0.05
    assert float(result.std[0, -1].min()) > 0.2  # unranked, it keeps its spread


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"elites": 501}, "elites=501.*candidates=500"),
        ({"elites": 0}, "elites=0"),
        ({"horizon": 0}, "horizon=0"),
        ({"iterations": 0}, "iterations=0"),
        ({"candidates": 0}, "candidates=0"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"init_std": 0.0}, "init_std=0.0"),
        ({"actor_fraction": -0.1}, "actor_fraction=-0.1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        PlannerConfig(**values)


# Pessimism


def test_pessimistic_outcomes_by_hand():
    two = Outcomes(
        *(jnp.array([[[1.0, 5.0], [2.0, 2.0]]]) * scale for scale in (1.0, 2.0, 3.0, 4.0))
    )
    got = pessimistic(two)
    np.testing.assert_allclose(got.ret, [[3.0, 2.0]])
    np.testing.assert_allclose(got.reward_sum, [[6.0, 4.0]])
    np.testing.assert_allclose(got.cost_return, [[15.0, 6.0]])  # of the costliest rollout
    np.testing.assert_allclose(got.episode_cost, [[20.0, 8.0]])


def test_pessimism_needs_sampled_latents():
    with pytest.raises(ValueError, match=r"planner\.latents=sample"):
        PlannerConfig(pessimism=2, latents="mode")
