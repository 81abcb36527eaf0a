"""LAMBDA's selection among sampled models, returns and actor loss.

By hand, against slow loops, and by their gradients.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.lagrangian import AugmentedState, update_augmented
from agents.settings import AugmentedConfig
from baselines.lambda_.objectives import actor_loss, choose, returns, take


def test_returns_by_hand_in_the_order_of_time():
    # H = 3: R[3] = v[3] = 8;  R[2] = 2 + 0.5 (0.5 * 8 + 0.5 * 8) = 6
    # R[1] = 1 + 0.5 (0.5 * 4 + 0.5 * 6) = 3.5
    reward, value = jnp.array([[1.0], [2.0], [99.0]]), jnp.array([[9.0], [4.0], [8.0]])
    got = returns(reward, value, jnp.zeros((3, 1)), 0.5, 0.5)
    np.testing.assert_allclose(got, [[3.5], [6.0]], rtol=1e-6)
    np.testing.assert_allclose(
        returns(reward, value, jnp.zeros((3, 1)), 0.5, 0.5, reverse=True), [[6.0], [3.5]], rtol=1e-6
    )


def test_returns_of_a_constant_reward_have_their_closed_form():
    # λ = 1: the sum of 0.99^k over the remaining H - 1 - t steps plus the bootstrap of
    # 100 = 1 / (1 - 0.99) is 100 everywhere.
    got = returns(jnp.ones((15, 2)), jnp.full((15, 2), 100.0), jnp.zeros((15, 2)), 0.99, 1.0)
    np.testing.assert_allclose(got, np.full((14, 2), 100.0), rtol=1e-5)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_returns_match_a_slow_loop_with_ends(lam: float):
    rng = np.random.default_rng(0)
    reward, value, terminal = (
        rng.normal(size=(6, 4)),
        rng.normal(size=(6, 4)),
        rng.uniform(size=(6, 4)),
    )
    following, expected = value[-1], []
    for t in reversed(range(5)):
        following = reward[t] + 0.9 * (1 - terminal[t]) * (
            (1 - lam) * value[t + 1] + lam * following
        )
        expected.insert(0, following)
    np.testing.assert_allclose(
        returns(*map(jnp.asarray, (reward, value, terminal)), 0.9, lam), expected, rtol=1e-5
    )


def two_models():
    """Two models, two starts, H = 2: the return is r[1] + 0.5 v[2].

    Model 0 gives 1 + 2 and 5 + 1, model 1 gives 2 + 3 and 0 + 2.
    """
    signal = jnp.array([[[1.0, 5.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    value = jnp.array([[[9.0, 0.0], [0.0, 9.0]], [[4.0, 2.0], [6.0, 4.0]]])
    return signal, value, jnp.zeros((2, 2, 2)), jnp.arange(8.0).reshape(2, 2, 2, 1)


def test_each_start_gets_its_best_model():
    signal, value, terminal, feat = two_models()
    got = choose(
        feat, signal, terminal, value, discount=0.5, lam=0.95, reverse=False, by_value=False
    )
    # model 1 for the first start, model 0 for the second
    np.testing.assert_allclose(got.ret, [[5.0, 6.0]])
    np.testing.assert_allclose(got.feat[..., 0], [[2.0, 1.0], [6.0, 5.0]])
    np.testing.assert_allclose(got.signal, [[2.0, 5.0], [0.0, 0.0]])
    assert float(got.margin) == pytest.approx(5.5 - (3 + 6 + 5 + 2) / 4)


def test_the_published_choice_is_by_mean_value():
    # Mean values: model 0 has 6.5 and 1, model 1 has 3 and 6.5, the reverse of the order of the
    # returns.
    signal, value, terminal, feat = two_models()
    got = choose(
        feat, signal, terminal, value, discount=0.5, lam=0.95, reverse=False, by_value=True
    )
    np.testing.assert_allclose(got.ret, [[3.0, 2.0]])


def test_only_the_chosen_of_five_models_gets_a_gradient():
    rng = np.random.default_rng(1)
    signal, value = jnp.asarray(rng.normal(size=(4, 5, 3))), jnp.asarray(rng.normal(size=(4, 5, 3)))
    best = np.array([2, 4, 0])
    signal = signal.at[:, best, np.arange(3)].add(50.0)
    zeros = jnp.zeros((4, 5, 3))

    def total(signal):
        return choose(
            zeros[..., None],
            signal,
            zeros,
            value,
            discount=0.9,
            lam=0.9,
            reverse=False,
            by_value=False,
        ).ret.sum()

    touched = np.abs(jax.grad(total)(signal)).sum(0) > 0
    assert touched.sum(0).tolist() == [1, 1, 1] and touched.argmax(0).tolist() == best.tolist()


def test_take_keeps_time_and_features():
    x = jnp.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(take(x, jnp.array([2, 0])), np.stack([x[:, 2, 0], x[:, 0, 1]], 1))


def test_actor_loss_by_hand():
    # Rewards: -(1 * 2 + 0.5 * 4) / 2 = -2.  Excess: mean(5, 7) - 4 = 2
    # psi = 3 * 2 + 0.5 * 0.25 * 4 = 6.5
    terms = actor_loss(
        jnp.array([[2.0], [4.0]]),
        jnp.array([[5.0], [7.0]]),
        jnp.ones(1),
        AugmentedState(jnp.float32(3.0), jnp.float32(0.25)),
        discount=0.5,
        limit=4.0,
    )
    np.testing.assert_allclose(
        [terms.excess, terms.penalty, terms.loss], [2.0, 6.5, 4.5], rtol=1e-6
    )


def test_the_multiplier_rises_with_imagined_excess_and_falls_to_zero_without():
    config = AugmentedConfig(
        multiplier_init=0.1, penalty_init=0.5, penalty_growth=0.1, penalty_max=0.52
    )
    state = AugmentedState(jnp.float32(0.1), jnp.float32(0.5))
    seen = []
    for costs in (6.0, 4.0, 0.0):  # excess 2, 0, -4 over a limit of 4
        terms = actor_loss(
            jnp.zeros((2, 1)), jnp.full((2, 1), costs), jnp.ones(1), state, discount=0.9, limit=4.0
        )
        state = update_augmented(config, state, terms.excess)
        seen.append((float(state.multiplier), float(state.penalty)))
    np.testing.assert_allclose(seen, [(1.1, 0.52), (1.1, 0.52), (0.0, 0.52)], rtol=1e-5)


def test_terminal_starts_count_for_nothing():
    rewards, costs = jnp.array([[2.0, 50.0], [4.0, -70.0]]), jnp.array([[5.0, 90.0], [7.0, 80.0]])
    state = AugmentedState(jnp.float32(3.0), jnp.float32(0.25))
    both = actor_loss(rewards, costs, jnp.array([1.0, 0.0]), state, discount=0.5, limit=4.0)
    # of the first start alone
    np.testing.assert_allclose([both.excess, both.penalty, both.loss], [2.0, 6.5, 4.5], rtol=1e-6)
    none = actor_loss(rewards, costs, jnp.zeros(2), state, discount=0.5, limit=4.0)
    assert float(none.loss - none.penalty) == 0.0
