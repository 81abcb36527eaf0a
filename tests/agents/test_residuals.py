"""Vector reconstruction loss normalised by each entry's running squared error.

Running errors and loss by hand, in the model and in the learner's state.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.nn.residuals import Residuals, init_residuals, relative_error, update_residuals
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import ModelConfig
from agents.safedreamer.model_loss import model_loss, reconstruction_log_probs
from agents.safedreamer.world_model import WorldModel
from tests.agent_inputs import VECTOR, VISION, replay_batch, tiny


def test_running_mean_squares_by_hand():
    state = init_residuals({"a": 2})
    # means (2, 2), (4, 4), (0, 12)
    batches = [[[1.0, 4.0], [3.0, 0.0]], [[4.0, 4.0], [4.0, 4.0]], [[0.0, 12.0], [0.0, 12.0]]]
    means = []
    for batch in batches:
        state = update_residuals(state, {"a": jnp.asarray(batch)}, decay=0.6)
        means.append(np.asarray(state.mean_square["a"]))
    # Copied; then the mean of two; then decay 0.6, which is less than 2/3.
    np.testing.assert_allclose(means, [[2.0, 2.0], [3.0, 3.0], [1.8, 6.6]], rtol=1e-6)
    assert int(state.batches) == 3


def test_relative_error_by_hand():
    state = Residuals({"a": jnp.array([4.0, 0.01])}, jnp.int32(1))
    # 8 / 4 and, below the floor, 0.02 / 0.05
    np.testing.assert_allclose(
        relative_error(state, {"a": jnp.array([[8.0, 0.02]])}, 0.05)["a"], [2.4], rtol=1e-6
    )


def test_no_gradient_through_the_running_means():
    def loss(error):
        state = update_residuals(init_residuals({"a": 1}), {"a": error[:, None]}, 0.9)
        return relative_error(state, {"a": error[:, None]}, 0.05)["a"].sum()

    # The mean of 1 and 3 is 2; a gradient through it would cancel, because errors divided by their
    # own mean sum to a constant.
    np.testing.assert_allclose(jax.grad(loss)(jnp.array([1.0, 3.0])), [0.5, 0.5], rtol=1e-6)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    config = dataclasses.replace(tiny("bsrp_lag").model, vector_loss="residual", residual_decay=0.5)
    return WorldModel(config, VECTOR, rngs=nnx.Rngs(0), dtype=jnp.dtype("float32"))


def test_noisy_entries_weigh_like_quiet_ones(model: WorldModel):
    """An entry at a thousand times the scale dominates the plain loss, but contributes only its
    share to the relative loss.
    """
    rng = np.random.default_rng(0)
    feat = jnp.asarray(rng.normal(size=(4, 5, model.feat_dim)), jnp.float32)
    obs = rng.normal(size=(4, 5, 9)).astype(np.float32)
    obs[..., 0] *= 1000.0
    batch = {"observation": jnp.asarray(obs)}
    errors = np.square(np.asarray(model.decoder(feat)["observation"]) - obs)
    assert errors[..., 0].mean() > 1e4 * errors[..., 1:].mean()
    logp, state = reconstruction_log_probs(model, feat, batch, init_residuals({"observation": 9}))
    assert state is not None
    np.testing.assert_allclose(state.mean_square["observation"], errors.mean((0, 1)), rtol=1e-4)
    expected = -(errors / np.maximum(0.05, errors.mean((0, 1)))).sum(-1)
    np.testing.assert_allclose(logp["observation"], expected, rtol=1e-4)
    assert float(logp["observation"].mean()) == pytest.approx(-9.0, rel=1e-4)  # one per entry


@pytest.mark.slow
def test_model_loss_takes_the_residuals_it_is_given(model: WorldModel):
    batch = {name: jnp.asarray(x) for name, x in replay_batch(VECTOR).items()}
    given = Residuals({"observation": jnp.full(9, 8.0)}, jnp.int32(50))
    loss, output = model_loss(model, batch, jax.random.key(1), given)
    plain, other = model_loss(model, batch, jax.random.key(1))
    assert output.residuals is not None and other.residuals is None
    post, _ = model.rssm.observe(
        model.encoder(batch), batch["action"], batch["is_first"], jax.random.key(1)
    )
    errors = np.square(
        np.asarray(model.decoder(post.feat)["observation"]) - np.asarray(batch["observation"])
    )
    running = 0.5 * 8.0 + 0.5 * errors.mean((0, 1))
    np.testing.assert_allclose(output.residuals.mean_square["observation"], running, rtol=1e-4)
    assert int(output.residuals.batches) == 51
    scale = model.config.vector_scale
    difference = scale * ((errors / running).sum(-1).mean() - errors.sum(-1).mean())
    assert float(loss - plain) == pytest.approx(difference, rel=1e-3)


@pytest.mark.slow
def test_agents_carry_residuals_only_with_that_loss():
    """Trace without running: with the residual loss the learner's state always has residuals of the
    same shapes, otherwise none.
    """
    batch = {name: jnp.asarray(x) for name, x in replay_batch(VECTOR).items()}
    for loss, shapes in (("sum", []), ("residual", [(9,), ()])):
        model = dataclasses.replace(tiny("bsrp_lag").model, vector_loss=loss)
        agent = SafeDreamer(tiny("bsrp_lag", model=model), VECTOR)
        state = jax.eval_shape(agent.init, 0)
        after, _ = jax.eval_shape(agent.learner.update, state, batch, jax.random.key(0))
        for carried in (state, after):
            assert [x.shape for x in jax.tree.leaves(carried.residuals)] == shapes


def test_images_alone_have_none():
    config = dataclasses.replace(tiny("bsrp_lag", "vision").model, vector_loss="residual")
    agent = SafeDreamer(tiny("bsrp_lag", "vision", model=config), VISION)
    state = jax.eval_shape(agent.init, 0)
    assert state.residuals.mean_square == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"residual_floor": 0.0}, "floor=0"), ({"residual_decay": 1.0}, "decay=1")],
)
def test_impossible_settings_are_refused(changes: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**changes)  # pyright: ignore[reportArgumentType]
