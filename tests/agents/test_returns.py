"""λ-returns, discount weights and the return normaliser.

By hand, against slow loops, in the limits of λ.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.returns import (
    discount_weights,
    init_return_norm,
    lambda_return,
    return_scale,
    update_return_norm,
)
from tests.examples import examples


def test_lambda_return_by_hand():
    # R[1] = 2 + 0.5 * (0.5 * 8 + 0.5 * 8) = 6;  R[0] = 1 + 0.5 * (0.5 * 4 + 0.5 * 6) = 3.5
    got = lambda_return(
        jnp.array([[1.0], [2.0]]), jnp.array([[9.0], [4.0], [8.0]]), jnp.full((2, 1), 0.5), lam=0.5
    )
    np.testing.assert_allclose(got, [[3.5], [6.0]], rtol=1e-6)


def slow_lambda_return(
    reward: np.ndarray, value: np.ndarray, cont: np.ndarray, lam: float
) -> np.ndarray:
    """R_t = r_{t+1} + c_{t+1} ((1 - lam) v_{t+1} + lam R_{t+1}), R_H = v_H, written forwards as the
    sum of n-step returns.
    """
    horizon, count = reward.shape
    returns = np.zeros((horizon, count))
    for i in range(count):
        for t in range(horizon):
            discount, total = 1.0, 0.0
            for k in range(t, horizon):
                total += discount * reward[k, i]
                discount *= cont[k, i]
                weight = 1.0 if k == horizon - 1 else 1.0 - lam
                returns[t, i] += lam ** (k - t) * weight * (total + discount * value[k + 1, i])
    return returns


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_lambda_return_is_the_mixture_of_n_step_returns(lam: float):
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(6, 4)), rng.normal(size=(7, 4))
    cont = rng.choice([0.0, 0.9, 0.99], size=(6, 4))
    got = lambda_return(*(jnp.asarray(x, jnp.float32) for x in (reward, value, cont)), lam)
    np.testing.assert_allclose(
        got, slow_lambda_return(reward, value, cont, lam), rtol=1e-5, atol=1e-6
    )


def test_lambda_return_limits():
    rng = np.random.default_rng(1)
    reward, value = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((5, 3), (6, 3)))
    cont = jnp.full((5, 3), 0.9)
    # one-step targets
    np.testing.assert_allclose(
        lambda_return(reward, value, cont, 0.0), reward + 0.9 * value[1:], rtol=1e-5
    )
    np.testing.assert_allclose(
        lambda_return(reward, value, jnp.zeros((5, 3)), 0.95), reward, rtol=1e-6
    )  # every step is the last
    undiscounted = lambda_return(reward, jnp.zeros((6, 3)), jnp.ones((5, 3)), 1.0)
    # plain sum
    np.testing.assert_allclose(undiscounted, np.cumsum(reward[::-1], 0)[::-1], rtol=1e-5, atol=1e-6)


@settings(max_examples=examples(25))
@given(st.floats(-3, 3), st.floats(0.1, 0.99), st.floats(0, 1))
def test_constant_value_is_a_fixed_point(value: float, discount: float, lam: float):
    # With v = r / (1 - discount) everywhere, every λ-return is v.
    reward = jnp.full((4, 1), value * (1.0 - discount))
    got = lambda_return(reward, jnp.full((5, 1), value), jnp.full((4, 1), discount), lam)
    np.testing.assert_allclose(got, np.full((4, 1), value), rtol=1e-4, atol=1e-5)


def test_lambda_return_refuses_a_missing_bootstrap_row():
    with pytest.raises(AssertionError):
        lambda_return(jnp.zeros((3, 2)), jnp.zeros((3, 2)), jnp.zeros((3, 2)), 0.95)


def test_discount_weights_by_hand():
    cont = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        discount_weights(cont, 0.5), [[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]], rtol=1e-6
    )


def test_return_norm_by_hand():
    # Percentiles 5 and 95 of 0..100 are 5 and 95; one EMA step from zero covers 1 % of the way, a
    # second one 1 % of the rest.
    returns = jnp.arange(101.0)
    first = update_return_norm(init_return_norm(), returns)
    np.testing.assert_allclose(first, [0.05, 0.95], rtol=1e-5)
    np.testing.assert_allclose(update_return_norm(first, returns), [0.0995, 1.8905], rtol=1e-5)
    assert float(return_scale(first)) == 1.0  # a range of 0.9 is not scaled up
    np.testing.assert_allclose(return_scale(update_return_norm(first, returns)), 1.791, rtol=1e-5)


def test_return_norm_converges_to_the_percentiles():
    returns = jnp.asarray(np.random.default_rng(2).normal(3.0, 2.0, (8, 50)), jnp.float32)
    state = jax.lax.fori_loop(
        0, 2000, lambda _, s: update_return_norm(s, returns), init_return_norm()
    )
    np.testing.assert_allclose(state, np.percentile(returns, [5, 95]), rtol=1e-4)


def test_return_norm_exerts_no_gradient():
    def scale(returns):
        return return_scale(update_return_norm(init_return_norm(), returns, decay=0.0))

    np.testing.assert_array_equal(jax.grad(scale)(jnp.array([0.0, 5.0, 10.0])), np.zeros(3))
