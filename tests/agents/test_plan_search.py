"""Planner search options: coloured noise, kept elites, decaying number of candidates."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.safedreamer.plan_noise import coloring, plan_noise
from agents.safedreamer.planner import Outcomes, plan, warm_start
from agents.safedreamer.planner_config import PlannerConfig

CONFIG = PlannerConfig(horizon=2, candidates=64, elites=8, iterations=3, momentum=0.0)
ROWS, ACTIONS = CONFIG.horizon + 1, 2


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("rows", [1, 2, 9, 16])
def test_coloured_noise_has_unit_variance_and_the_spectrum_asked_for(exponent: float, rows: int):
    covariance = coloring(exponent, rows) @ coloring(exponent, rows).T
    np.testing.assert_allclose(np.diag(covariance), 1.0, rtol=1e-9)
    power = np.fft.fft(covariance[0]).real  # eigenvalues of a circulant matrix
    frequency = np.abs(np.fft.fftfreq(rows))
    lowest = 1.0 / rows
    wanted = np.maximum(frequency, lowest) ** -exponent
    np.testing.assert_allclose(power / power.sum(), wanted / wanted.sum(), atol=1e-9)


def test_white_noise_is_that_of_before():
    key = jax.random.key(3)
    shape = (2, 5, ROWS, ACTIONS)
    np.testing.assert_array_equal(plan_noise(key, shape, 0.0), jax.random.normal(key, shape))
    np.testing.assert_allclose(coloring(0.0, 7), np.eye(7), atol=1e-9)


def test_coloured_plans_change_their_mind_less():
    def step_to_step(exponent: float) -> float:
        noise = plan_noise(jax.random.key(0), (400, 16, 1), exponent)[..., 0]
        return float(np.corrcoef(noise[:, 7], noise[:, 8])[0, 1])

    assert abs(step_to_step(0.0)) < 0.15
    assert 0.15 < step_to_step(1.0) < step_to_step(2.5)
    assert step_to_step(2.5) > 0.75


def quadratic(target: float, seen: list[int] | None = None):
    """Return peaks where all actions are `target`; `seen` records the plans per call."""

    def evaluate(plans: jax.Array, key: jax.Array) -> Outcomes:
        del key
        if seen is not None:
            seen.append(plans.shape[1])
        ret = -jnp.square(plans - target).sum((-1, -2))
        return Outcomes(ret, ret, 0.0 * ret, 0.0 * ret)

    return evaluate


def search(config: PlannerConfig, evaluate, kept=None):
    start = jnp.zeros((1, ROWS, ACTIONS))
    return plan(
        config, evaluate, start, start[:, None, :][:, :0], 0.0, jnp.zeros(()), jax.random.key(0),
        kept,
    )  # fmt: skip


@pytest.mark.slow
def test_later_iterations_have_fewer_candidates():
    config = replace(CONFIG, candidates=100, candidate_decay=2.0, iterations=5)
    assert config.candidates_per_iteration == (100, 50, 25, 16, 16)  # at least twice the elites
    seen: list[int] = []
    search(config, quadratic(0.5, seen))
    assert seen == [100, 50, 25, 16, 16]
    assert CONFIG.candidates_per_iteration == (64, 64, 64)


def test_kept_elites_are_counted_among_the_candidates():
    seen: list[int] = []
    result = search(replace(CONFIG, kept_elites=3), quadratic(0.5, seen))
    assert set(seen) == {64}
    assert result.kept.shape == (1, 3, ROWS, ACTIONS)
    assert search(CONFIG, quadratic(0.5)).kept.shape == (1, 0, ROWS, ACTIONS)


def test_a_plan_that_is_kept_is_never_lost():
    best = jnp.full((1, 1, ROWS, ACTIONS), 0.9)  # far from the samples around zero
    config = replace(CONFIG, init_std=0.01, kept_elites=1, iterations=2)
    result = search(config, quadratic(0.9), best)
    np.testing.assert_allclose(result.kept, best, rtol=1e-6)
    without = search(replace(config, kept_elites=0), quadratic(0.9))
    assert float(without.ret[0]) < float(result.ret[0]) < 0.0


def test_elites_of_the_last_iteration_come_best_first():
    result = search(replace(CONFIG, kept_elites=4), quadratic(0.5))
    distance = np.square(np.asarray(result.kept) - 0.5).sum((-1, -2))[0]
    assert (np.diff(distance) >= 0).all()


def test_kept_elites_are_shifted_by_a_step_and_forgotten_with_the_episode():
    kept = jnp.arange(2 * 2 * 3, dtype=jnp.float32).reshape(2, 2, 3, 1)
    got = np.asarray(warm_start(kept, jnp.array([False, True])))[..., 0]
    np.testing.assert_array_equal(got[0], [[1, 2, 2], [4, 5, 5]])
    np.testing.assert_array_equal(got[1], 0.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kept_elites": 9}, "kept_elites=9 must lie in 0..planner.elites=8"),
        ({"candidates": 8, "kept_elites": 8}, "must be less than planner.candidates=8"),
        ({"candidate_decay": 0.5}, "candidate_decay=0.5 must be at least 1"),
        ({"noise_exponent": -1.0}, "noise_exponent=-1.0 must lie in 0..10"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **values)
