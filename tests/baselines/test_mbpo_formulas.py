"""Formulas of the model-based off-policy learner, by hand and against slow loops in NumPy.

test_safe_slac_formulas covers the parts shared with Safe SLAC: targets, temperature, multiplier
step.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.layers import Normal
from baselines.mbpo import moments, ring
from baselines.mbpo.config import ExpansionConfig, ModelConfig, RolloutConfig
from baselines.mbpo.data import mix, real_transitions
from baselines.mbpo.ensemble import (
    Ensemble,
    Scales,
    choose_elites,
    inputs_of,
    outcomes_of,
    soft_bounds,
    take_members,
    targets_of,
)
from baselines.mbpo.expansion import expand, expanded_returns
from baselines.mbpo.fit import held_out
from baselines.mbpo.rollouts import Rollouts, draw_noise, rollout, rollout_length
from baselines.sac.update import Transitions

Z, A, N = 3, 2, 5
CONFIG = ModelConfig(members=3, elites=2, units=4, layers=1, bound_weight=0.5, weight_decay=0.1)


def transitions(rows: int = N, seed: int = 0, lead: tuple[int, ...] = ()) -> Transitions:
    """Random transitions, one of which is terminal and one has zero weight."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=(*lead, rows, *shape)).astype(np.float32)

    ends, weight = np.zeros((*lead, rows), np.float32), np.ones((*lead, rows), np.float32)
    ends[..., 1], weight[..., 2] = 1.0, 0.0
    parts = draw(Z), draw(A), draw(Z), draw(), draw(), ends, weight
    return Transitions(*(jnp.asarray(x) for x in parts))


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble(CONFIG, Z, A)


@pytest.fixture(scope="module")
def params(ensemble: Ensemble) -> Any:
    found = jax.jit(ensemble.init)(jax.random.key(0))
    return found._replace(log_var_min=jnp.full(Z + 2, -3.0), log_var_max=jnp.full(Z + 2, 1.0))


@pytest.fixture(scope="module")
def scales() -> Scales:
    update = jax.jit(moments.update)
    inputs = update(moments.fresh(Z + A), 2.0 + inputs_of(transitions(9, 5)), jnp.ones(9))
    targets = update(moments.fresh(Z + 2), 0.5 * targets_of(transitions(9, 6)), jnp.ones(9))
    seen = 0.5 * outcomes_of(transitions(9, 7))
    return Scales(inputs, targets, moments.widen(moments.no_range(Z + 2), seen, jnp.ones(9)))


def numpy_member(params: Any, member: int, scales: Scales, z: np.ndarray, action: np.ndarray):
    """Unscaled mean [O], deviation [O] and probability of termination of one row."""
    net = jax.tree.map(lambda x: np.asarray(x[member], np.float64), params.net)
    mean_in, std_in = (np.asarray(x, np.float64) for x in (scales.inputs.mean, scales.inputs.std))
    mean_out, std_out = (
        np.asarray(x, np.float64) for x in (scales.targets.mean, scales.targets.std)
    )
    x = (np.concatenate([z, action]) - mean_in) / std_in
    x = x @ net["hidden"][0]["kernel"] + net["hidden"][0]["bias"]
    out = (x / (1 + np.exp(-x))) @ net["out"]["kernel"] + net["out"]["bias"]
    raw, low, high = (
        out[Z + 2 : 2 * Z + 4],
        np.asarray(params.log_var_min),
        np.asarray(params.log_var_max),
    )
    log_var = high - np.log1p(np.exp(high - raw))
    log_var = low + np.log1p(np.exp(log_var - low))
    mean = mean_out + std_out * out[: Z + 2]
    return mean, std_out * np.exp(0.5 * log_var), 1 / (1 + np.exp(-out[-1]))


# Ensemble


def test_soft_bounds_by_hand_and_their_gradient_never_vanishes():
    # Identity far inside, the bound far outside, log 2 = softplus(0) inside it at the bound.
    low, high = jnp.float32(-10.0), jnp.float32(0.5)
    assert float(soft_bounds(jnp.float32(-5.0), low, high)) == pytest.approx(-5.0, abs=0.02)
    assert float(soft_bounds(jnp.float32(100.0), low, high)) == pytest.approx(0.5, abs=1e-4)
    assert float(soft_bounds(jnp.float32(-100.0), low, high)) == pytest.approx(-10.0, abs=1e-4)
    assert float(soft_bounds(jnp.float32(0.5), low, high)) == pytest.approx(
        0.5 - np.log(2), abs=1e-4
    )
    assert float(jax.grad(soft_bounds)(jnp.float32(2.0), low, high)) > 0.1
    assert float(jax.grad(soft_bounds, 2)(jnp.float32(2.0), low, high)) > 0.7


@pytest.mark.parametrize("beta", [0.0, 0.5])
def test_likelihood_with_soft_variance_bounds_matches_a_slow_reference(beta, params, scales):
    data = transitions(lead=(CONFIG.members,))
    ensemble = Ensemble(dataclasses.replace(CONFIG, beta=beta), Z, A)
    total, parts = jax.jit(ensemble.loss)(params, scales, data)
    fitted = gaussian = termination = 0.0
    std_out = np.asarray(scales.targets.std, np.float64)
    y = np.asarray(targets_of(data), np.float64)
    for e in range(CONFIG.members):
        weight = np.asarray(data.weight[e])
        for n in range(N):
            z, action = np.asarray(data.z[e, n], np.float64), np.asarray(data.action[e, n])
            mean, std, end = numpy_member(params, e, scales, z, action)
            log_var = 2 * np.log(std / std_out)
            share = weight[n] / weight.sum() / CONFIG.members
            nll = ((mean - y[e, n]) / std) ** 2 + log_var
            gaussian += share * np.mean(nll)
            fitted += share * np.mean(np.exp(beta * log_var) * nll)
            termination -= share * np.log(end if data.terminal[e, n] else 1 - end)
    kernels = sum(
        float(np.square(np.asarray(k)).sum())
        for k in (params.net["hidden"][0]["kernel"], params.net["out"]["kernel"])
    )
    bounds = 4.0 * (Z + 2)
    assert float(parts["model/likelihood"]) == pytest.approx(-gaussian, rel=1e-4)
    assert float(parts["model/termination"]) == pytest.approx(termination, rel=1e-4)
    want = fitted + termination + 0.5 * bounds + 0.1 * kernels / CONFIG.members
    assert float(total) == pytest.approx(want, rel=1e-4)


def test_an_entry_that_never_varied_is_no_target_and_is_predicted_to_stay(ensemble, params, scales):
    constant = scales.targets._replace(squares=scales.targets.squares.at[1].set(0.0))
    data = transitions(lead=(CONFIG.members,))
    grad = jax.jit(jax.grad(lambda p, s: ensemble.loss(p, s, data)[0]))
    of_mean = grad(params, scales._replace(targets=constant)).net["out"]["bias"][:, : Z + 2]
    np.testing.assert_array_equal(of_mean[:, 1], 0.0)
    assert np.abs(np.asarray(of_mean[:, [0, 2, 3, 4]])).min() > 0.0
    found = constant.unscale(jnp.full((4, Z + 2), 3.0))
    np.testing.assert_allclose(found[:, 1], constant.mean[1])
    np.testing.assert_allclose(constant.scale(found)[:, [0, 2, 3, 4]], 3.0, rtol=1e-5)
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(6, Z + 2)), jnp.float32)
    np.testing.assert_allclose(
        constant.mean_of_varying(rows), np.delete(rows, 1, -1).mean(-1), rtol=1e-5
    )
    assert float(moments.fresh(3).mean_of_varying(jnp.ones(3))) == 0.0  # before any data


def test_elites_are_the_members_of_least_error(ensemble, params, scales):
    chosen = choose_elites(jnp.array([0.3, 0.1, 0.2]), 2)
    np.testing.assert_array_equal(chosen, [1, 2])
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4, Z + A)), jnp.float32)
    everyone = jax.jit(ensemble.predict)(params, x)
    elites = jax.jit(ensemble.predict)(take_members(params, chosen), x[1:])
    np.testing.assert_allclose(elites.mean, everyone.mean[1:], rtol=1e-5)
    errors = jax.jit(ensemble.error)(params, scales, transitions())
    assert errors.shape == (3,) and len(np.unique(errors)) == 3


# Data


def test_moments_in_pieces_are_those_of_all_rows():
    rows = np.random.default_rng(0).normal(3.0, 2.0, (12, 2)).astype(np.float32)
    rows[:, 1] = 7.0
    weight = np.ones(12, np.float32)
    weight[4] = 0.0
    found = moments.fresh(2)
    for part in (slice(0, 5), slice(5, 6), slice(6, 12)):
        found = jax.jit(moments.update)(found, rows[part], weight[part])
    kept = np.delete(rows, 4, 0)
    np.testing.assert_allclose(found.mean, kept.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.std, [kept[:, 0].std(), 1.0], rtol=1e-4)  # constant: unscaled


def test_a_range_in_pieces_is_that_of_all_rows_with_weight():
    rows = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    weight = np.ones(12, np.float32)
    rows[4], weight[4] = 100.0, 0.0
    found = moments.no_range(2)
    np.testing.assert_array_equal(found.clip(rows), rows)  # no data, no clipping
    for part in (slice(0, 5), slice(5, 12)):
        found = jax.jit(moments.widen)(found, rows[part], weight[part])
    kept = np.delete(rows, 4, 0)
    np.testing.assert_array_equal(found, [kept.min(0), kept.max(0)])
    np.testing.assert_array_equal(found.clip(rows[4]), kept.max(0))


def test_a_ring_keeps_the_latest_valid_rows_in_order():
    buffer = ring.empty(4, jnp.zeros(()))
    insert = jax.jit(ring.insert)
    buffer = insert(buffer, jnp.array([1.0, 2.0, 3.0]), jnp.array([True, False, True]))
    assert (buffer.rows.tolist(), int(buffer.size)) == ([1.0, 3.0, 0.0, 0.0], 2)
    assert set(np.asarray(ring.draw(buffer, jax.random.key(0), (50,)))) == {1.0, 3.0}
    buffer = insert(buffer, jnp.array([4.0, 5.0, 6.0]), jnp.ones(3, bool))
    assert (buffer.rows.tolist(), int(buffer.size), int(buffer.head)) == (
        [6.0, 3.0, 4.0, 5.0],
        4,
        1,
    )


def test_held_out_transitions_stay_held_out_and_are_the_share_asked_for():
    data = transitions(4000)
    held = jax.jit(partial(held_out, share=0.2))
    out = np.asarray(held(data))
    assert out.mean() == pytest.approx(0.2, abs=0.02)
    order = np.random.default_rng(0).permutation(4000)
    again = held(jax.tree.map(lambda x: np.asarray(x)[order], data))
    np.testing.assert_array_equal(again, out[order])


@pytest.mark.parametrize("ratio", [0.0, 0.4, 1.0])
def test_real_and_imagined_rows_mix_by_the_ratio(ratio: float):
    real, imagined = transitions(10), transitions(6, seed=1)
    buffer = ring.empty(8, jax.tree.map(lambda x: x[0], real))
    mixed_by = jax.jit(mix, static_argnames="ratio")
    first = mixed_by(real, buffer, ratio=ratio, key=jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, first, real)  # nothing is imagined yet
    buffer = jax.jit(ring.insert)(buffer, imagined, jnp.ones(6, bool))
    mixed = mixed_by(real, buffer, ratio=ratio, key=jax.random.key(0))
    count = round(10 * ratio)
    np.testing.assert_array_equal(mixed.z[:count], real.z[:count])
    rows = {row.tobytes() for row in np.asarray(imagined.z)}
    assert all(row.tobytes() in rows for row in np.asarray(mixed.z[count:]))


def test_a_time_limit_is_no_termination_and_episodes_do_not_run_into_each_other():
    # Rows 0..3 of one stream: an episode truncated at row 1, the next one starts at row 2 and
    # terminates at row 3.
    batch = {
        "observation": jnp.zeros((1, 4, Z)).at[0, :, 0].set(jnp.arange(4.0)),
        "action": jnp.ones((1, 4, A)),
        "reward": jnp.array([[9.0, 1.0, 2.0, 3.0]]),
        "cost": jnp.array([[9.0, 4.0, 5.0, 6.0]]),
        "is_first": jnp.array([[True, False, True, False]]),
        "is_last": jnp.array([[False, True, False, True]]),
        "is_terminal": jnp.array([[False, False, False, True]]),
    }
    data = jax.jit(partial(real_transitions, names=("observation",)))(batch)
    np.testing.assert_array_equal(data.weight, [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(data.terminal, [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(data.reward, [1.0, 2.0, 3.0])  # received on arriving
    np.testing.assert_array_equal(data.cost, [4.0, 5.0, 6.0])
    np.testing.assert_allclose(data.z_next[:, 0], np.log1p([1.0, 2.0, 3.0]), rtol=1e-6)


def test_transitions_of_different_sequences_come_first():
    lead = (2, 3)
    batch = {
        "observation": jnp.zeros((*lead, 1)),
        "action": jnp.zeros((*lead, 1)),
        "reward": jnp.array([[0.0, 1.0, 2.0], [0.0, 3.0, 4.0]]),
        **{name: jnp.zeros(lead) for name in ("cost", "is_first", "is_terminal")},
    }
    data = real_transitions(batch, ("observation",))
    np.testing.assert_array_equal(data.reward, [1.0, 3.0, 2.0, 4.0])


# Rollouts


@pytest.mark.parametrize("within_range", [False, True])
def test_rollouts_match_a_slow_reference_with_the_same_noise(
    ensemble, params, scales, within_range
):
    low, high = (np.asarray(x) for x in scales.outcomes)
    scales, clipped = scales if within_range else scales._replace(outcomes=None), 0
    steps, elites = 3, jnp.array([2, 0])
    noise = draw_noise(jax.random.key(3), steps, N, Z, A, 2)
    start = transitions(seed=2).z
    alive = jnp.ones(N).at[4].set(0.0)

    def policy(z: jax.Array) -> Normal:
        return Normal(0.3 * jnp.tanh(z[:, :A]), 0.5 + 0.1 * jnp.abs(jnp.tanh(z[:, :A])))

    imagine = jax.jit(partial(rollout, ensemble, policy=policy))
    found = imagine(
        elites=take_members(params, elites), scales=scales, start=start, alive=alive, noise=noise
    )
    for n in range(N):
        z, weight = np.asarray(start[n], np.float64), float(alive[n])
        for t in range(steps):
            mean, std = 0.3 * np.tanh(z[:A]), 0.5 + 0.1 * np.abs(np.tanh(z[:A]))
            u = mean + std * np.asarray(noise.action[t, n])
            action = np.tanh(u)
            log_prob = np.sum(
                -0.5 * ((u - mean) / std) ** 2
                - np.log(std)
                - 0.5 * np.log(2 * np.pi)
                - np.log(1 - action**2 + 1e-6)
            )
            member = int(elites[noise.member[t, n]])
            mean, std, end = numpy_member(params, member, scales, z, action)
            values = mean + std * np.asarray(noise.state[t, n]) + np.append(z, [0.0, 0.0])
            if within_range:
                clipped += np.sum((values < low) | (values > high))
                values = np.clip(values, low, high)
            data = jax.tree.map(lambda x, t=t, n=n: np.asarray(x[t, n]), found.data)
            np.testing.assert_allclose(data.z, z, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(data.action, action, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(found.log_prob[t, n], log_prob, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose([data.reward, data.cost], values[-2:], rtol=1e-3, atol=1e-3)
            terminal = float(noise.end[t, n] < end)
            assert (float(data.terminal), float(data.weight)) == (terminal, weight)
            z, weight = values[:-2], weight * (1 - terminal)
            np.testing.assert_allclose(data.z_next, z, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found.last[n], z, rtol=1e-3, atol=1e-3)
    assert set(np.unique(found.data.terminal)) == {0.0, 1.0}  # both occur
    assert 0 < clipped < found.data.z_next.size or not within_range
    np.testing.assert_array_equal(found.data.weight[:, 4], 0.0)


def test_rollouts_grow_linearly_between_two_updates():
    config = RolloutConfig(length_first=1, length_last=4, grow_from=10, grow_until=40)
    lengths = [int(rollout_length(config, jnp.int32(n))) for n in (0, 10, 19, 20, 39, 40, 99)]
    assert lengths == [1, 1, 1, 2, 3, 4, 4]
    assert int(rollout_length(RolloutConfig(), jnp.int32(7))) == 1


# Value expansion


def test_expanded_targets_by_hand_over_two_steps():
    # discount 0.5, alpha log pi 0.2 and 0.4, value 10 after the second step:
    # q1 = 2 + 0.5 * 10 = 7, v1 = 6.6; q0 = 1 + 0.5 * 6.6 = 4.3, v0 = 4.1
    reward, bonus = jnp.array([[1.0], [2.0]]), jnp.array([[-0.2], [-0.4]])
    q, v = expanded_returns(reward, jnp.zeros((2, 1)), bonus, jnp.array([10.0]), 0.5)
    np.testing.assert_allclose(q[:, 0], [4.3, 7.0], rtol=1e-6)
    np.testing.assert_allclose(v, [4.1], rtol=1e-6)
    # With an imagined termination at the first step only its reward is left.
    q, v = expanded_returns(reward, jnp.array([[1.0], [0.0]]), bonus, jnp.array([10.0]), 0.5)
    np.testing.assert_allclose((q[0], v), [[1.0], [0.8]], rtol=1e-6)


@pytest.mark.parametrize("td_k", [True, False])
@pytest.mark.parametrize("steps", [1, 4])
def test_expanded_targets_match_a_slow_loop(steps: int, td_k: bool):
    rng = np.random.default_rng(0)
    data, dreamt = transitions(), transitions(seed=1, lead=(steps,))
    log_prob = jnp.asarray(rng.normal(size=(steps, N)), jnp.float32)
    values = tuple(jnp.asarray(rng.normal(size=N), jnp.float32) for _ in range(2))
    alpha, discounts = 0.3, (0.9, 0.8)
    imagined = Rollouts(dreamt, log_prob, dreamt.z_next[-1])
    expanded = jax.jit(partial(expand, discounts=discounts, td_k=td_k))
    targets = expanded(data, imagined, values, jnp.float32(alpha))
    want: dict[str, list[float]] = {"reward": [], "cost": []}
    for name, discount, close, entropy in (
        ("reward", 0.9, values[0], alpha),
        ("cost", 0.8, values[1], 0.0),
    ):
        got, pairs = np.asarray(getattr(dreamt, name)), np.zeros((steps, N))
        for n in range(N):
            v = float(close[n])
            for t in reversed(range(steps)):
                pairs[t, n] = got[t, n] + discount * (1 - float(dreamt.terminal[t, n])) * v
                v = pairs[t, n] - entropy * float(log_prob[t, n])
            first = float(getattr(data, name)[n]) + discount * (1 - float(data.terminal[n])) * v
            want[name].append(first)
        want[name] += list(pairs.reshape(-1)) if td_k else []
    np.testing.assert_allclose(targets.reward, want["reward"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(targets.cost, want["cost"], rtol=1e-4, atol=1e-5)
    rows = N * (1 + steps) if td_k else N
    assert targets.z.shape == (rows, Z) and targets.action.shape == (rows, A)
    np.testing.assert_array_equal(targets.weight[:N], data.weight)
    if td_k:
        np.testing.assert_array_equal(targets.z[N : 2 * N], dreamt.z[0])
        np.testing.assert_array_equal(targets.weight[N:].reshape(steps, N), dreamt.weight)


# Settings


@pytest.mark.parametrize(
    ("config", "bad"),
    [
        (ModelConfig, {"elites": 8}),
        (ModelConfig, {"holdout_share": 1.0}),
        (ModelConfig, {"holdout_share": 1e-7}),
        (ModelConfig, {"warmup": 10}),
        (RolloutConfig, {"capacity": 10}),
        (RolloutConfig, {"real_ratio": 1.5}),
        (RolloutConfig, {"grow_until": -1}),
        (ExpansionConfig, {"length": -1}),
    ],
)
def test_bad_settings_name_themselves(config: type, bad: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(bad))):
        config(**bad)


def test_a_model_fitted_online_needs_no_warmup():
    assert ModelConfig(fit="online", warmup=0).warmup == 0
