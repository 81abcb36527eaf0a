"""Diagonal Gaussians: values by hand and numerical integrals."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.nn.gaussian import normal_kl, normal_log_prob, tanh_log_slope, tanh_normal_log_prob


def test_log_prob_by_hand():
    # At one standard deviation: -1/2 - ln 2 - ln(2 pi) / 2; at the mean with std 1: -ln(2 pi) / 2.
    got = normal_log_prob(jnp.array([3.0, 0.0]), jnp.array([1.0, 0.0]), jnp.array([2.0, 1.0]))
    np.testing.assert_allclose(got, -0.5 - np.log(2.0) - np.log(2 * np.pi), rtol=1e-6)


def test_kl_by_hand():
    # std 1 -> 2 with means 1 apart: ln 2 + (1 + 1)/8 - 1/2; means 3 apart with std 1: 9/2.
    got = normal_kl(
        jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0]), jnp.zeros(2), jnp.array([2.0, 1.0])
    )
    np.testing.assert_allclose(got, np.log(2.0) + 0.25 - 0.5 + 4.5, rtol=1e-6)
    assert float(normal_kl(jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.ones(3))) == 0.0


@pytest.mark.parametrize("mean, std", [(0.0, 0.5), (0.7, 1.0), (-1.0, 0.3)])
def test_squashed_density_integrates_to_one(mean: float, std: float):
    actions = np.linspace(-0.99999, 0.99999, 200_001)
    x = jnp.asarray(np.arctanh(actions), jnp.float32)[:, None]
    density = np.exp(tanh_normal_log_prob(x, jnp.full((1,), mean), jnp.full((1,), std)))
    assert np.trapezoid(density, actions) == pytest.approx(1.0, abs=2e-3)


def test_slope_of_tanh_stays_finite_far_out():
    near = jnp.array([-2.0, 0.0, 1.0])
    np.testing.assert_allclose(
        tanh_log_slope(near), np.log(1 - np.tanh(near) ** 2), rtol=1e-4, atol=1e-6
    )
    far = jnp.array([-60.0, 60.0])
    np.testing.assert_allclose(tanh_log_slope(far), [2 * np.log(2.0) - 120.0] * 2, rtol=1e-5)
    assert np.isfinite(jax.grad(lambda x: tanh_log_slope(x).sum())(far)).all()
