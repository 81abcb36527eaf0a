"""The ensemble learns a linear system of known mean and variance, and each off-policy method solves
the toy task of tests/safedreamer_shore.py: walk to the shore, and stay out of the water.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.settings import OptimizerConfig
from baselines.mbpo.agent import MBPO
from baselines.mbpo.config import ExpansionConfig, MBPOConfig, ModelConfig, RolloutConfig
from baselines.mbpo.ensemble import Ensemble, EnsembleParams, choose_elites, inputs_of
from baselines.mbpo.fit import Fitter, ModelState
from baselines.mbpo.presets import with_method
from baselines.sac.config import MultiplierConfig, SACConfig
from baselines.sac.update import Transitions
from tests.fakes.toys import Judge, solve_shore, stops_at_the_edge, walks_into_the_water

pytestmark = pytest.mark.slow
FAST = OptimizerConfig(1e-3)
BASE = MBPOConfig(
    cost_limit=1.0,
    sac=SACConfig(
        units=32,
        discount=0.95,
        cost_discount=0.95,
        temperature=0.05,
        target_fraction=0.02,
        eval_action="mode",
        optimizer=FAST,
    ),
    multiplier=MultiplierConfig(0.1, 0.005),
    model=ModelConfig(
        members=4,
        elites=3,
        units=32,
        layers=2,
        beta=1.0,
        bound_weight=0.0,
        fit_every=200,
        warmup=200,
        window=4000,
        holdout=500,
        batch=64,
        epoch_steps=50,
        max_epochs=10,
        patience=3,
        optimizer=OptimizerConfig(2e-3),
    ),
    rollout=RolloutConfig(
        length_first=1, length_last=2, grow_until=1000, starts=16, capacity=8000, real_ratio=0.25
    ),
    expansion=ExpansionConfig(length=2),
)
LOOP = {"train_ratio": 128.0, "batch_size": 64, "batch_length": 2}


def solve(method: str, out, judge: Judge, steps: int) -> None:
    solve_shore(out, method, with_method(BASE, method), MBPO, judge, steps, **LOOP)


@pytest.mark.parametrize("method", ["sac_lag", "mbpo_lag", "dyna_lag", "mve_lag"])
def test_constrained_methods_stop_at_the_edge(method: str, tmp_path):
    # Learning with a model takes longer.
    solve(method, tmp_path, stops_at_the_edge, 2500 if method == "sac_lag" else 4000)


def test_without_a_constraint_it_walks_into_the_water(tmp_path):
    solve("sac", tmp_path, walks_into_the_water, 1000)


def linear_system(rows: int, seed: int) -> tuple[Transitions, np.ndarray, np.ndarray]:
    """Transitions of a linear Gaussian system; their true means and standard deviations [O]."""
    rng = np.random.default_rng(seed)
    z, action = rng.normal(size=(rows, 2)), rng.uniform(-1, 1, (rows, 1))
    slopes = np.array([[0.5, -0.2, 1.0, 0.3], [0.1, 0.4, -0.5, 0.0], [0.8, -0.6, 0.2, 0.7]])
    std = np.array([0.1, 0.3, 0.2, 0.05])
    mean = np.concatenate([z, action], 1) @ slopes
    values = mean + std * rng.normal(size=mean.shape)
    ends = z[:, 0] > 1.0
    rest = values[:, 2], values[:, 3], ends, np.ones(rows)
    parts = (z, action, z + values[:, :2], *rest)
    return Transitions(*(jnp.asarray(x, jnp.float32) for x in parts)), mean, std


def fitted(
    config: ModelConfig, draw: Callable[[int, int], Transitions], rows: int, fits: int
) -> tuple[Ensemble, EnsembleParams, ModelState]:
    """An ensemble fitted to `fits` batches of `rows` transitions, draw(rows, seed)."""
    ensemble = Ensemble(config, 2, 1)
    fitter = Fitter(config, ensemble)
    params = jax.jit(ensemble.init)(jax.random.key(0))
    opt, state, fit = fitter.optimizer.init(params), fitter.fresh(), jax.jit(fitter)
    for n in range(fits):
        params, opt, state, _ = fit(
            params, opt, state, draw(rows, n), jnp.int32(n), jax.random.key(n)
        )
    return ensemble, params, state


def predicted(ensemble: Ensemble, params: EnsembleParams, state: ModelState, data: Transitions):
    """Predictions of all members for the same rows, in scaled units."""
    inputs = state.scales.inputs.scale(inputs_of(data))
    return ensemble.predict(params, jnp.broadcast_to(inputs, (4, *inputs.shape)))


@pytest.mark.parametrize("how", ["converge", "online"])
def test_an_ensemble_recovers_mean_and_variance_of_a_linear_gaussian_system(how: str):
    config = dataclasses.replace(
        BASE.model, fit=how, fit_every=20, warmup=20, max_epochs=40, weight_decay=0.0
    )
    rows, fits = (200, 20) if how == "converge" else (128, 2000)
    ensemble, params, state = fitted(config, lambda *x: linear_system(*x)[0], rows, fits)
    unseen, mean, std = linear_system(500, 10_000)
    pred, scale = predicted(ensemble, params, state, unseen), state.scales.targets
    elites = np.asarray(choose_elites(state.error, config.elites))
    got = np.asarray(scale.unscale(pred.mean))[elites].mean(0)
    deviation = np.asarray(scale.std * jnp.exp(0.5 * pred.log_var))[elites]
    assert np.sqrt(np.mean(((got - mean) / std) ** 2)) < 0.35  # in units of the noise
    np.testing.assert_allclose(np.median(deviation, (0, 1)), std, rtol=0.2)
    probability = np.asarray(jax.nn.sigmoid(pred.logit)).mean(0)
    assert np.mean((probability > 0.5) == (np.asarray(unseen.z[:, 0]) > 1.0)) > 0.97


def rare_changes(rows: int, seed: int) -> Transitions:
    """Like lidar beams: one entry and the reward are mostly 0 and otherwise predictable."""
    rng = np.random.default_rng(seed)
    z, action = rng.normal(size=(rows, 2)), rng.uniform(-1, 1, (rows, 1))
    jump = np.where(z[:, 0] > 1.0, z[:, 1], 0.0)  # in 16 % of the rows
    step = np.stack([0.05 * action[:, 0] + 0.001 * rng.normal(size=rows), jump], 1)
    zero = np.zeros(rows)
    parts = (z, action, z + step, jump, zero, zero, np.ones(rows))
    return Transitions(*(jnp.asarray(x, jnp.float32) for x in parts))


def test_beta_lets_the_ensemble_learn_rare_changes():
    unseen = rare_changes(2000, 10_000)
    jump, explained = np.asarray(unseen.reward), []
    for beta in (0.0, 1.0):
        config = dataclasses.replace(BASE.model, fit="online", beta=beta, weight_decay=0.0)
        ensemble, params, state = fitted(config, rare_changes, 128, 1500)
        mean = predicted(ensemble, params, state, unseen).mean.mean(0)
        error = np.asarray(state.scales.targets.unscale(mean))[:, 2] - jump
        explained.append(1.0 - np.mean(np.square(error)) / jump.var())
    by_likelihood, weighted = explained
    assert weighted > 0.7 and by_likelihood < weighted - 0.1, explained
