"""SWAG: against a slow NumPy loop of the specification; sample moments, schedule, limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.lambda_.config import SwagConfig
from baselines.lambda_.swag import (
    SwagState,
    draw_models,
    follow,
    init_swag,
    sample,
    take_snapshot,
    triangular_rate,
)

CONFIG = SwagConfig(start=4, period=3, rank=3, samples=2)
ZEROS = {"a": jnp.zeros((2, 2)), "b": jnp.zeros(3)}


def snapshots(count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        {"a": rng.normal(size=(2, 2)).astype("f4"), "b": rng.normal(size=3).astype("f4")}
        for _ in range(count)
    ]


def slow_swag(
    config: SwagConfig, weights: list[np.ndarray], biased_by: int = 0
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Mean, variance and last deviations, newest first, of one tensor.

    In the published code the bias correction's counter advances `biased_by` times per snapshot.
    """
    mean = np.zeros_like(weights[0]) if biased_by else weights[0]
    variance, deviations = np.zeros_like(weights[0]), [np.zeros_like(weights[0])] * config.rank
    for number, w in enumerate(weights, 1):
        variance = variance + (1 - config.decay) * (config.decay * (w - mean) ** 2 - variance)
        mean = config.decay * mean + (1 - config.decay) * w
        debiased = mean / (1 - config.decay ** (biased_by * number)) if biased_by else mean
        deviations = [w - debiased, *deviations][: config.rank]
    return mean, variance, deviations


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_moments_match_a_slow_loop(count: int, biased: bool):
    state, weights = init_swag(CONFIG, ZEROS), snapshots(count)
    for w in weights:
        state = take_snapshot(CONFIG, state, w, biased=biased)
    assert int(state.snapshots) == count
    for name in ZEROS:
        mean, variance, deviations = slow_swag(
            CONFIG, [w[name] for w in weights], biased_by=2 if biased else 0
        )
        np.testing.assert_allclose(state.mean[name], mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(state.variance[name], variance, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            state.deviations[name], np.stack(deviations), rtol=1e-4, atol=1e-6
        )


def test_two_snapshots_by_hand():
    # w = 1, then 6, decay 0.8: m = 1, then 0.8 + 1.2 = 2; v = 0, then 0.2 * 0.8 * 25 = 4; newest
    # deviation 6 - 2 = 4, before it 0.
    state = init_swag(CONFIG, jnp.zeros(()))
    for w in (1.0, 6.0):
        state = take_snapshot(CONFIG, state, jnp.asarray(w))
    np.testing.assert_allclose(
        [state.mean, state.variance, *state.deviations], [2.0, 4.0, 4.0, 0.0, 0.0], rtol=1e-6
    )


def test_constant_parameters_have_no_spread_unless_moments_are_biased():
    constant = {"a": jnp.full((2, 2), 3.0), "b": jnp.arange(3.0)}
    mended, published = init_swag(CONFIG, constant), init_swag(CONFIG, constant)
    for _ in range(5):
        mended = take_snapshot(CONFIG, mended, constant)
        published = take_snapshot(CONFIG, published, constant, biased=True)
    drawn = sample(CONFIG, mended, jax.random.key(0))
    np.testing.assert_allclose(drawn["a"], constant["a"], rtol=1e-5)
    np.testing.assert_allclose(drawn["b"], constant["b"], rtol=1e-5)
    assert (
        float(jnp.abs(published.deviations["a"]).max()) > 0.5
        and float(published.mean["a"][0, 0]) < 2.5
    )


def test_samples_have_the_mean_and_covariance_of_swag():
    # covariance = scale (diag(v) / 2 + D^T D / (2 (K - 1)))
    config = SwagConfig(rank=3, scale=0.5)
    deviations = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]], np.float32)
    variance, mean = np.array([0.5, 2.0], np.float32), np.array([10.0, -5.0], np.float32)
    state = SwagState(*map(jnp.asarray, (mean, variance, deviations)), jnp.int32(9))
    drawn = np.asarray(
        jax.vmap(lambda key: sample(config, state, key))(
            jax.random.split(jax.random.key(1), 40_000)
        )
    )
    expected = 0.5 * (np.diag(variance) / 2 + deviations.T @ deviations / 4)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.05)


def test_tensors_are_drawn_independently():
    deviations = jnp.eye(3)[:, :1]
    state = SwagState(
        *({"x": a, "y": a} for a in (jnp.zeros(1), jnp.zeros(1), deviations)), jnp.int32(9)
    )
    drawn = jax.vmap(lambda key: sample(SwagConfig(rank=3), state, key))(
        jax.random.split(jax.random.key(2), 5000)
    )
    assert abs(np.corrcoef(drawn["x"][:, 0], drawn["y"][:, 0])[0, 1]) < 0.05


@pytest.mark.slow
def test_snapshots_fall_on_the_schedule_and_samples_begin_when_enough_are_there():
    state, taken, sampled = init_swag(CONFIG, ZEROS), [], []
    for update, params in enumerate(snapshots(16)):
        before = int(state.snapshots)
        state = follow(CONFIG, state, params, jnp.int32(update))
        taken += [update] if int(state.snapshots) > before else []
        models = draw_models(CONFIG, state, params, jnp.int32(update), jax.random.key(update))
        assert models["a"].shape == (2, 2, 2)
        sampled += [] if np.array_equal(models["a"], np.stack([params["a"]] * 2)) else [update]
    assert taken == [4, 7, 10, 13]
    assert sampled == [13, 14, 15]  # from start + rank * period
    assert SwagConfig().warm_updates == 4500  # the published one


@pytest.mark.parametrize(
    "update, rate",
    [(0, 5e-4), (100, 3e-4), (200, 1e-4), (300, 3e-4), (400, 5e-4), (500, 3e-4), (600, 1e-4)],
)
def test_the_learning_rate_is_a_triangle_from_its_peak(update: int, rate: float):
    assert float(triangular_rate(5e-4, 1e-4, 200)(update)) == pytest.approx(rate, rel=1e-4)
