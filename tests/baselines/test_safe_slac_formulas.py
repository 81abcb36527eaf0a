"""Formulas of Safe SLAC by hand.

Targets, temperature, multiplier, learning rates, discounted limit, squashed actions, losses.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from baselines.layers import Normal
from baselines.sac import actor_critic as sac
from baselines.sac.config import MultiplierConfig, SACConfig
from baselines.sac.multiplier import init_raw, update_raw
from baselines.sac.update import weighted_mean
from baselines.safe_slac.config import LatentConfig, SafeSLACConfig
from baselines.safe_slac.learner import rate_factor
from baselines.safe_slac.losses import cost_log_prob
from baselines.safe_slac.presets import MATCHED, RELEASE
from baselines.safe_slac.windows import make_windows


def test_soft_value_by_hand():
    # min(4, 3) - 0.5 * 2 = 2
    assert float(sac.soft_value(4.0, 3.0, 2.0, 0.5)) == 2.0


def test_td_target_by_hand():
    # 1 + 0.9 * 2 = 2.8; the target of a terminal step is its reward
    y = sac.td_target(jnp.ones(2), jnp.array([0.0, 1.0]), 2.0, 0.9)
    np.testing.assert_allclose(y, [2.8, 1.0], rtol=1e-6)


@pytest.mark.parametrize(("leaky_output", "share"), [(False, 1.0), (True, 0.01)])
def test_cost_estimates_below_zero_still_learn_unless_leaky_as_released(
    leaky_output: bool, share: float
):
    config = SACConfig(units=8, cost_output="leaky" if leaky_output else "linear")
    critic = sac.CostCritic(5, config, -50.0, rngs=nnx.Rngs(0))
    z, action = jnp.ones((3, 3)), jnp.ones((3, 2))
    assert critic(z, action).max() < 0.0
    slope = nnx.grad(lambda c: c(z, action).sum())(critic).mlp.out.bias[...]
    np.testing.assert_allclose(slope, 3 * share, rtol=1e-5)
    np.testing.assert_array_equal(
        critic.future(z, action), critic(z, action) if leaky_output else 0.0
    )


def test_the_largest_of_several_cost_critics_counts_and_the_first_starts_like_a_single_one():
    z, action = jax.random.normal(jax.random.key(0), (7, 3)), jnp.ones((7, 2))
    lone, several = (
        sac.CostCritic(5, SACConfig(units=8, cost_critics=n), 0.0, rngs=nnx.Rngs(0)) for n in (1, 3)
    )
    estimates = several.estimates(z, action)
    assert estimates.shape == (3, 7)
    assert len(np.unique(estimates.argmax(0))) > 1
    np.testing.assert_array_equal(several(z, action), estimates.max(0))
    np.testing.assert_array_equal(lone(z, action), estimates[0])


def test_actor_objective_by_hand():
    # min(4, 3) - 0.5 * 2 - 0.1 * 5 = 1.5
    assert float(sac.actor_objective(4.0, 3.0, 2.0, 5.0, 0.5, 0.1)) == pytest.approx(1.5)


@pytest.mark.parametrize(("entropy", "sign"), [(-1.0, 1.0), (-2.0, 0.0), (-4.0, -1.0)])
def test_temperature_falls_above_the_target_entropy_and_rises_below(entropy: float, sign: float):
    # d/d log(alpha) = H - H_target, with H_target = -2
    slope = jax.grad(sac.temperature_loss)(jnp.float32(-3.0), entropy, -2.0)
    assert float(slope) == pytest.approx(entropy + 2.0)
    assert np.sign(float(slope)) == sign


def test_log_density_of_squashed_actions():
    dist = Normal(jnp.array([[0.3, -0.2]]), jnp.array([[0.5, 0.8]]))
    action, log_prob = sac.sample_action(dist, jax.random.key(1))
    a, mean, std = (np.asarray(x, np.float64)[0] for x in (action, dist.mean, dist.std))
    u = np.arctanh(a)
    want = sum(
        -0.5 * ((u[i] - mean[i]) / std[i]) ** 2
        - np.log(std[i])
        - 0.5 * np.log(2 * np.pi)
        - np.log(1 - a[i] ** 2 + 1e-6)
        for i in range(2)
    )
    assert float(log_prob[0]) == pytest.approx(want, rel=1e-4)


def test_discounted_limit_is_the_specifications():
    assert sac.discounted_limit(25.0, 0.995, 500) == pytest.approx(9.184, abs=1e-3)


# Multiplier


def test_multiplier_starts_where_it_should_and_rests_at_the_limit():
    raw = init_raw(0.02)
    assert float(jax.nn.softplus(raw)) == pytest.approx(0.02, rel=1e-4)
    assert float(update_raw(raw, 25.0, 25.0, 2e-4)) == float(raw)


def test_multiplier_step_by_hand():
    # raw = 0: sigmoid 1/2, softplus log 2; 0 + 0.01 * 0.5 / 0.6931 * (30 - 25) = 0.036067
    assert float(update_raw(jnp.float32(0.0), 30.0, 25.0, 0.01)) == pytest.approx(
        0.036067, rel=1e-4
    )


def test_an_episode_counts_no_more_than_the_largest_excess():
    steps = [float(update_raw(jnp.float32(0.0), cost, 25.0, 0.01, 5.0)) for cost in (30, 300, 0)]
    assert steps[0] == steps[1] == pytest.approx(0.036067, rel=1e-4)
    assert steps[2] == pytest.approx(-5 * 0.036067, rel=1e-4)  # not clipped below the limit


def test_small_multipliers_grow_exponentially():
    # d log(multiplier) = lr (cost - limit) = 2e-4 * 35 = 0.007 per episode
    raw = init_raw(1e-3)
    grown = jax.nn.softplus(update_raw(raw, 60.0, 25.0, 2e-4))
    assert float(jnp.log(grown / jax.nn.softplus(raw))) == pytest.approx(0.007, rel=0.01)


def test_one_step_an_episode_is_nearly_the_sum_of_the_steps_of_the_release():
    raw, cost, limit, steps = init_raw(0.02), 60.0, 25.0, 500
    want = np.float64(raw)
    for t in range(steps):
        c = 1.0 if t < cost else 0.0
        softplus, sigmoid = np.log1p(np.exp(want)), 1 / (1 + np.exp(-want))
        want += 2e-4 * sigmoid / softplus * (c - limit / steps)
    assert float(update_raw(raw, cost, limit, 2e-4)) == pytest.approx(want, abs=1e-5)


# Schedules and optimisers


def test_learning_rates_halve_once():
    config = SafeSLACConfig(pretrain_updates=3, halve_after=4)
    assert [float(rate_factor(config, n)) for n in (0, 3, 6, 7, 100)] == [1.0, 1.0, 1.0, 0.5, 0.5]


# Losses of the latent model


def test_cost_likelihood_weighs_costly_steps():
    # p = sigmoid(0) = 1/2 everywhere: 100 log(1/2) for any positive cost, otherwise log(1/2)
    got = cost_log_prob(jnp.zeros(3), jnp.array([0.0, 1.0, 2.0]), 100.0)
    np.testing.assert_allclose(got, np.log(0.5) * np.array([1.0, 100.0, 100.0]), rtol=1e-6)


# Windows


def batch(first: list[list[int]]) -> dict[str, jax.Array]:
    flags = jnp.array(first, bool)
    count = jnp.arange(flags.size, dtype=jnp.float32).reshape(flags.shape)
    names = {"reward": count, "cost": 10 * count, "x": count[..., None], "action": count[..., None]}
    return {**names, "is_first": flags, "is_terminal": jnp.zeros_like(flags).at[0, 1].set(True)}


def test_transitions_across_episodes_have_no_weight():
    windows = make_windows(batch([[0, 0, 1, 0], [1, 0, 0, 0]]), ("x",), whole=False)
    np.testing.assert_array_equal(windows.weight, [[1, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(windows.reward, [[1, 2, 3], [5, 6, 7]])  # received on arriving
    np.testing.assert_array_equal(windows.terminal, [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(windows.is_first[:, 0], [True, True])
    np.testing.assert_array_equal(windows.kept, [1, 1])


def test_whole_windows_drop_those_that_cross():
    windows = make_windows(batch([[0, 0, 1, 0], [1, 0, 0, 0]]), ("x",), whole=True)
    np.testing.assert_array_equal(windows.kept, [0, 1])
    np.testing.assert_array_equal(windows.weight, [[0, 0, 0], [1, 1, 1]])


def test_weighted_mean():
    assert float(weighted_mean(jnp.array([1.0, 2.0, 6.0]), jnp.array([1.0, 0.0, 1.0]))) == 3.5
    assert float(weighted_mean(jnp.ones(2), jnp.zeros(2))) == 0.0


# Settings


def test_release_is_the_specification_and_matched_has_the_limit_and_cameras_of_safedreamer():
    release, matched = RELEASE, MATCHED
    latent, of_sac = release.latent, release.sac
    assert (latent.z1, latent.z2, latent.feature, latent.units, latent.batch) == (
        32,
        200,
        200,
        256,
        32,
    )
    assert (latent.image_variance, latent.cost_scale, latent.cost_positive, latent.cameras) == (
        0.4,
        30.0,
        100.0,
        "first",
    )
    assert (latent.reward_std_min, latent.whole_windows) == (1e-5, True)
    assert (latent.optimizer.learning_rate, latent.optimizer.clip) == (1e-4, 40.0)
    assert (of_sac.discount, of_sac.cost_discount, of_sac.temperature, of_sac.target_fraction) == (
        0.99,
        0.995,
        4e-3,
        5e-3,
    )
    assert (of_sac.optimizer.learning_rate, of_sac.optimizer.clip, of_sac.actor_clip) == (
        2e-4,
        40.0,
        80.0,
    )
    assert (of_sac.cost_output, matched.sac.cost_output) == ("leaky", "linear")
    assert (release.cost_limit, release.pretrain_updates, release.halve_after) == (
        25.0,
        30_000,
        200_000,
    )
    assert (release.multiplier.init, release.multiplier.learning_rate) == (0.02, 2e-4)
    assert (matched.cost_limit, matched.latent.cameras, matched.pretrain_updates) == (
        2.0,
        "all",
        30_000,
    )


@pytest.mark.parametrize(
    ("config", "bad"),
    [
        (LatentConfig, {"z1": 0}),
        (LatentConfig, {"reward_std_min": 0.0}),
        (SACConfig, {"discount": 1.0}),
        (SACConfig, {"temperature": 0.0}),
        (SACConfig, {"cost_critics": 0}),
        (MultiplierConfig, {"init": 0.0}),
        (MultiplierConfig, {"max_excess": -1.0}),
        (SafeSLACConfig, {"halve_after": 0}),
    ],
)
def test_bad_settings_name_themselves(config: type, bad: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(bad))):
        config(**bad)
