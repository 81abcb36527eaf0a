"""Distributions of heads and latents.

Checked by hand, by round trips, sampling frequencies and gradients, and against the release.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.nn.distributions import (
    bernoulli_log_prob,
    bernoulli_mode,
    categorical_entropy,
    categorical_kl,
    mode_onehot,
    normal_entropy,
    onehot_from_uniform,
    symexp,
    symlog,
    twohot,
    twohot_above,
    twohot_bins,
    twohot_log_prob,
    twohot_mean,
    unimix_probs,
)
from benchmarks.fidelity import distributions as fidelity


@given(st.floats(-1e6, 1e6))
def test_symlog_round_trip(x: float):
    np.testing.assert_allclose(symexp(symlog(jnp.float32(x))), np.float32(x), rtol=2e-5, atol=1e-6)


def test_symlog_by_hand():
    np.testing.assert_allclose(
        symlog(jnp.array([np.e - 1, 0.0, 1 - np.e])), [1.0, 0.0, -1.0], atol=1e-6
    )


def test_twohot_by_hand():
    # Five bins at -20, -10, 0, 10, 20 in symlog space; symlog(x) = 4 lies 40 % of the way from bin
    # 2 to bin 3.
    code = twohot(jnp.float32(np.expm1(4.0)), 5)
    np.testing.assert_allclose(code, [0, 0, 0.6, 0.4, 0], atol=1e-6)
    logits = jnp.log(jnp.array([0.1, 0.1, 0.2, 0.5, 0.1]))
    log_prob = twohot_log_prob(logits, jnp.float32(np.expm1(4.0)))
    np.testing.assert_allclose(log_prob, 0.6 * np.log(0.2) + 0.4 * np.log(0.5), rtol=1e-5)


@given(st.floats(-1e4, 1e4), st.sampled_from([5, 41, 255]))
def test_twohot_round_trip(x: float, count: int):
    code = twohot(jnp.float32(x), count)
    assert float(code.sum()) == pytest.approx(1.0, abs=1e-4)
    assert int((np.asarray(code) > 0).sum()) <= 2
    back = float(symexp(code @ twohot_bins(count)))
    assert back == pytest.approx(x, rel=1e-3, abs=1e-3)
    # A head whose logits are the logarithm of this encoding has mean x.
    assert float(twohot_mean(jnp.log(code + 1e-12))) == pytest.approx(x, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize(("x", "bin_"), [(1e12, 254), (-1e12, 0), (0.0, 127)])
def test_twohot_edges(x: float, bin_: int):
    assert int(twohot(jnp.float32(x), 255).argmax()) == bin_
    assert float(twohot(jnp.float32(x), 255)[bin_]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("count", [63, 255])
@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_probability_of_a_cost_by_hand(count: int, chance: float):
    """The best fit to costs of 0, 1 and 4 recovers the probability of a cost."""
    codes = [twohot(jnp.float32(cost), count) for cost in (0.0, 1.0, 4.0)]
    best = (1 - chance) * codes[0] + chance * (0.75 * codes[1] + 0.25 * codes[2])
    assert float(twohot_above(jnp.log(best + 1e-12), 0.5)) == pytest.approx(chance, abs=1e-4)


def test_untrained_head_predicts_zero():
    np.testing.assert_allclose(twohot_mean(jnp.zeros((3, 255))), np.zeros(3), atol=1e-6)


def test_twohot_and_normaliser_match_the_release(recordings: Path):
    rows = fidelity.check(recordings / "distributions.npz")
    assert {row.quantity for row in rows} == {
        "twohot/mean",
        "twohot/logprob",
        "normaliser/offset",
        "normaliser/scale",
    }
    assert max(row.rel_error for row in rows) < 1e-5


def test_bernoulli_by_hand():
    logit = jnp.log(jnp.array([3.0, 3.0, 1 / 3]))  # p = 0.75, 0.75, 0.25
    np.testing.assert_allclose(
        bernoulli_log_prob(logit, jnp.array([1, 0, 1])), np.log([0.75, 0.25, 0.25]), rtol=1e-5
    )
    np.testing.assert_array_equal(bernoulli_mode(jnp.array([0.1, 0.0, -0.1])), [1.0, 0.0, 0.0])


def test_unimix_by_hand():
    got = unimix_probs(jnp.log(jnp.array([0.7, 0.3])), 0.1)
    np.testing.assert_allclose(got, [0.9 * 0.7 + 0.05, 0.9 * 0.3 + 0.05], rtol=1e-5)
    extreme = unimix_probs(jnp.array([1000.0, 0.0, 0.0, 0.0]), 0.01)
    np.testing.assert_allclose(extreme, [0.9925, 0.0025, 0.0025, 0.0025], rtol=1e-4)


def test_kl_and_entropy_by_hand():
    # Two variables: KL((1/2, 1/2) || (1/4, 3/4)) = ln 2 / 2 + ln(2/3) / 2 and KL(p || p) = 0.
    post, prior = (
        jnp.log(jnp.array([[0.5, 0.5], [0.2, 0.8]])),
        jnp.log(jnp.array([[0.25, 0.75], [0.2, 0.8]])),
    )
    np.testing.assert_allclose(
        categorical_kl(post, prior), 0.5 * np.log(2) + 0.5 * np.log(2 / 3), rtol=1e-5
    )
    expected = np.log(2) - 0.2 * np.log(0.2) - 0.8 * np.log(0.8)
    np.testing.assert_allclose(categorical_entropy(post), expected, rtol=1e-5)


@given(
    st.lists(st.floats(-5, 5), min_size=6, max_size=6),
    st.lists(st.floats(-5, 5), min_size=6, max_size=6),
)
def test_kl_is_not_negative(a: list[float], b: list[float]):
    post, prior = (jax.nn.log_softmax(jnp.array(x, jnp.float32).reshape(2, 3)) for x in (a, b))
    assert float(categorical_kl(post, prior)) >= -1e-5
    assert float(categorical_kl(post, post)) == pytest.approx(0.0, abs=1e-6)


def test_normal_entropy_by_hand():
    expected = np.log(2 * np.pi * np.e) + np.log(0.5) + np.log(2.0)  # two dimensions
    np.testing.assert_allclose(normal_entropy(jnp.array([0.5, 2.0])), expected, rtol=1e-6)


def sample_onehot(key: jax.Array, probs: jax.Array) -> jax.Array:
    return onehot_from_uniform(jax.random.uniform(key, probs.shape[:-1]), probs)


@pytest.mark.parametrize(
    "probs",
    [
        [0.25] * 4,
        [0.7, 0.1, 0.1, 0.1],
        [0.0, 0.5, 0.5, 0.0],
        [0.001, 0.002, 0.003, 0.994],
        [1.0, 0.0, 0.0, 0.0],
    ],
)
def test_sampling_frequencies(probs: list[float]):
    count = 40_000
    samples = np.asarray(
        sample_onehot(jax.random.key(0), jnp.broadcast_to(jnp.array(probs), (count, 4)))
    )
    np.testing.assert_allclose(samples.sum(-1), np.ones(count), atol=1e-6)
    np.testing.assert_allclose(np.sort(samples, -1)[:, :-1], np.zeros((count, 3)), atol=1e-6)
    observed, expected = samples.sum(0), count * np.array(probs)
    possible = expected > 0
    assert observed[~possible].sum() == pytest.approx(0.0, abs=1e-3)
    chi_square = ((observed - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi_square < 16.3  # 99.9 % quantile for three degrees of freedom


def test_variables_are_sampled_independently():
    count = 20_000
    first, second = np.moveaxis(
        np.asarray(sample_onehot(jax.random.key(1), jnp.full((count, 2, 2), 0.5))), 1, 0
    )
    joint = (first[:, 0] * second[:, 0]).mean()
    assert joint == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / count))


def test_straight_through_gradient_is_that_of_the_probabilities():
    draw = lambda x: sample_onehot(jax.random.key(2), x)  # noqa: E731
    logits, weight = jnp.array([[0.3, -0.2, 1.0]]), jnp.array([[1.0, 2.0, -3.0]])
    got = jax.grad(lambda x: (weight * draw(unimix_probs(x, 0.01))).sum())(logits)
    expected = jax.grad(lambda x: (weight * unimix_probs(x, 0.01)).sum())(logits)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert sorted(np.asarray(draw(unimix_probs(logits, 0.01))).round(6).ravel()) == [0, 0, 1]


def test_mode_is_the_most_likely_class():
    probs = jnp.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    np.testing.assert_array_equal(mode_onehot(probs), [[0, 1, 0], [1, 0, 0]])
    gradient = jax.grad(lambda x: (jnp.arange(3.0) * mode_onehot(x)).sum())(probs)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))  # as in the release
