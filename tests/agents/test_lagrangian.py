"""Multipliers: steps by hand, slow loops written from the specification, traces recorded from the
release, properties.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.lagrangian import (
    augmented_penalty,
    grow_penalty,
    imagined_excess,
    init_augmented,
    init_pid,
    move_multiplier,
    scheduled_limit,
    update_augmented,
    update_pid,
)
from agents.settings import AugmentedConfig, PIDConfig
from benchmarks.fidelity.lagrangian import run_augmented, run_pid
from tests.examples import examples


def test_first_pid_step_by_hand():
    # c = 0.01 * 300 = 3;  e = 3 - 2 = 1;  I = 0.001 + 0.01;  P = 0.05;  S = D = 0.05 * 3 = 0.15
    # multiplier = 0.1 * 0.05 + 0.011 + 0.01 * 0.15 = 0.0175
    state = update_pid(PIDConfig(), init_pid(PIDConfig()), 300.0, 2.0, 6000)
    np.testing.assert_allclose(state.cost_average, 3.0, rtol=1e-6)
    np.testing.assert_allclose(state.integral, 0.011, rtol=1e-5)
    np.testing.assert_allclose(state.proportional, 0.05, rtol=1e-5)
    np.testing.assert_allclose(state.derivative, 0.15, rtol=1e-5)
    np.testing.assert_allclose(state.multiplier, 0.0175, rtol=1e-5)


@pytest.mark.parametrize(("steps", "moves"), [(0, False), (5000, False), (5001, True)])
def test_only_the_cost_average_moves_before_the_start(steps: int, moves: bool):
    config = PIDConfig()
    before, after = init_pid(config), update_pid(config, init_pid(config), 300.0, 2.0, steps)
    np.testing.assert_allclose(after.cost_average, 3.0, rtol=1e-6)
    changed = [not np.array_equal(a, b) for a, b in zip(before, after)][:-1]
    assert any(changed) == moves


def slow_pid(config: PIDConfig, costs: list[float], limit: float) -> list[float]:
    """docs/concepts/safedreamer.md#pid-multiplier, line by line.

    D compares with the smoothed cost `delay` updates ago, zero before the first one.
    """
    average = proportional = smoothed = 0.0
    integral, past, multipliers = config.integral_init, deque([0.0] * config.delay), []
    for cost in costs:
        average = 0.99 * average + 0.01 * cost
        excess = average - limit
        integral = max(0.0, integral + config.ki * excess)
        proportional = 0.95 * proportional + 0.05 * excess
        smoothed = 0.95 * smoothed + 0.05 * average
        derivative = max(0.0, smoothed - past.popleft())
        past.append(smoothed)
        total = config.kp * proportional + integral + config.kd * derivative
        multipliers.append(min(max(total, 0.0), config.max_multiplier))
    return multipliers


@settings(max_examples=examples(25))
@given(st.lists(st.floats(0, 200), min_size=1, max_size=40), st.integers(1, 12))
def test_pid_matches_a_slow_loop(costs: list[float], delay: int):
    config = PIDConfig(kp=0.05, ki=0.02, kd=0.3, delay=delay, max_multiplier=5.0)
    state, got = init_pid(config), []
    for cost in costs:
        state = update_pid(config, state, cost, 2.0, 10**6)
        got.append(float(state.multiplier))
    np.testing.assert_allclose(got, slow_pid(config, costs, 2.0), rtol=1e-4, atol=1e-6)


def test_pid_limits():
    def run(config, episodes, cost):
        step = lambda _, s: update_pid(config, s, cost, 2.0, 10**6)  # noqa: E731
        return jax.lax.fori_loop(0, episodes, step, init_pid(config))

    # Costs far above the limit saturate the multiplier.
    assert float(run(PIDConfig(), 400, 1000.0).multiplier) == pytest.approx(0.1)
    safe = run(PIDConfig(), 50, 0.0)  # without any cost the initial integral drops to 0
    assert float(safe.multiplier) == float(safe.integral) == 0.0
    # Without integral and derivative terms it settles at kp times the excess.
    settled = run(
        PIDConfig(kp=0.1, ki=0.0, kd=0.0, integral_init=0.0, max_multiplier=9.0), 3000, 12.0
    )
    assert float(settled.multiplier) == pytest.approx(0.1 * (12.0 - 2.0), rel=1e-3)


@pytest.mark.parametrize(
    ("steps", "limit"),
    [(0, 10.0), (19_999, 10.0), (20_000, 8.0), (60_000, 4.0), (80_000, 2.0), (10**7, 2.0)],
)
def test_limit_schedule(steps: int, limit: float):
    config = PIDConfig(
        limit_schedule=True, limit_init=10.0, limit_decrement=2.0, limit_stage_steps=20_000
    )
    assert float(scheduled_limit(config, 2.0, steps)) == limit
    assert float(scheduled_limit(PIDConfig(), 2.0, steps)) == 2.0


@pytest.mark.parametrize("series", ["osrp_lag", "defaults_kp", "decay"])
def test_pid_matches_the_release(recordings: Path, series: str):
    with np.load(recordings / "pid_lagrangian.npz") as data:
        inputs = [data[f"{series}_{name}"] for name in ("gains", "episode_cost", "env_step")]
        expected = data[f"{series}_out"]
    np.testing.assert_allclose(
        run_pid(*inputs, scheduled=series == "decay"), expected, rtol=1e-4, atol=1e-6
    )


def test_penalty_by_hand():
    state = init_augmented(AugmentedConfig(0.5, 0.1))
    # u = 0.5 + 0.1 * 3 = 0.8 > 0: psi = 0.5 * 3 + 0.1 * 9 / 2 = 1.95; slope = u
    assert float(augmented_penalty(state, jnp.float32(3.0))) == pytest.approx(1.95)
    assert float(jax.grad(augmented_penalty, 1)(state, jnp.float32(3.0))) == pytest.approx(0.8)
    # u = 0.5 - 1 < 0: psi = -0.25 / 0.2 = -1.25; flat
    assert float(augmented_penalty(state, jnp.float32(-10.0))) == pytest.approx(-1.25)
    assert float(jax.grad(augmented_penalty, 1)(state, jnp.float32(-10.0))) == 0.0


@given(st.floats(1e-3, 2.0), st.floats(1e-3, 1.0))
def test_penalty_is_continuous_where_it_switches(multiplier: float, penalty: float):
    state = init_augmented(AugmentedConfig(multiplier, penalty))
    switch = -multiplier / penalty
    below, above = (
        float(augmented_penalty(state, jnp.float32(switch * (1 + s)))) for s in (1e-3, -1e-3)
    )
    assert below == pytest.approx(above, rel=1e-4)


def test_augmented_update_by_hand():
    config = AugmentedConfig(0.5, 0.1, penalty_growth=0.5, penalty_max=0.12)
    state = update_augmented(config, init_augmented(config), jnp.float32(3.0))
    # multiplier = u; penalty would be 0.15 but is capped
    np.testing.assert_allclose(state, [0.8, 0.12], rtol=1e-6)
    assert float(update_augmented(config, state, jnp.float32(-100.0)).multiplier) == 0.0


def test_an_update_is_a_move_of_the_multiplier_and_growth_of_the_penalty():
    config = AugmentedConfig(0.5, 0.1, penalty_growth=0.5)
    state, excess = init_augmented(config), jnp.float32(3.0)
    np.testing.assert_allclose(move_multiplier(state, excess), [0.8, 0.1], rtol=1e-6)
    np.testing.assert_allclose(grow_penalty(config, state), [0.5, 0.15], rtol=1e-6)
    np.testing.assert_array_equal(
        update_augmented(config, state, excess),
        grow_penalty(config, move_multiplier(state, excess)),
    )


def test_episode_excess_in_imagined_units_by_hand():
    # 250 steps at cost 0.04 total 10; with a discount horizon of 50 their return is 2, and 15 such
    # returns sum to 30.
    units = {"episode_length": 250, "discount_horizon": 50.0, "summed": 15}
    assert imagined_excess(10.0, 0.0, **units) == pytest.approx(30.0)
    # The limit is in units of episode cost too.
    assert imagined_excess(10.0, 2.0, **units) == pytest.approx(24.0)
    assert imagined_excess(0.0, 2.0, **units) == pytest.approx(-6.0)


@pytest.mark.parametrize("series", ["release", "fast", "tight"])
def test_augmented_matches_the_release(recordings: Path, series: str):
    with np.load(recordings / "augmented_lagrangian.npz") as data:
        init, costs, expected = (
            data[f"{series}_{name}"] for name in ("init", "cost_return", "psi_lambda_mu")
        )
    np.testing.assert_allclose(run_augmented(init, costs), expected, rtol=1e-5)


def test_dual_ascent_solves_a_constrained_problem():
    # minimise x^2 subject to x >= 1 (g = 1 - x): x* = 1 and multiplier* = 2.
    config = AugmentedConfig(0.1, 0.5, penalty_growth=0.0)

    def step(_, carry):
        x, state = carry
        loss = lambda x: x**2 + augmented_penalty(state, 1.0 - x)  # noqa: E731
        x = jax.lax.fori_loop(0, 100, lambda _, x: x - 0.1 * jax.grad(loss)(x), x)
        return x, update_augmented(config, state, 1.0 - x)

    x, state = jax.lax.fori_loop(0, 100, step, (jnp.float32(0.0), init_augmented(config)))
    assert float(x) == pytest.approx(1.0, abs=1e-3)
    assert float(state.multiplier) == pytest.approx(2.0, abs=1e-2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PIDConfig(delay=0), "delay"),
        (lambda: PIDConfig(cost_ema=1.5), "cost_ema"),
        (lambda: PIDConfig(limit_stage_steps=0), "limit_stage_steps"),
        (lambda: PIDConfig(ki=-0.01), "pid.ki=-0.01 must not be negative"),
        (lambda: AugmentedConfig(penalty_init=0.0), "penalty_init"),
        (lambda: AugmentedConfig(penalty_growth=-1.0), "penalty_growth=-1.0"),
        (lambda: AugmentedConfig(penalty_max=1e-9), "penalty_max=1e-09 must be at least"),
    ],
)
def test_impossible_settings_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()
