"""Optimisers of every network, and sampling of the start states of imagination."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.optimizers import make_optimizer
from agents.settings import OptimizerConfig
from agents.world_models import draw_starts


def test_a_gradient_beyond_the_clip_steps_like_one_at_it():
    # Adam's first step is lr * g / (|g| + eps): with eps = 1, norm 5 clipped to 1 gives g = (0.6,
    # 0.8) -> (0.375, 0.444...) * lr.
    optimizer = make_optimizer(OptimizerConfig(learning_rate=0.1, eps=1.0, clip=1.0))
    step, _ = optimizer.update(jnp.array([3.0, 4.0]), optimizer.init(jnp.zeros(2)), jnp.zeros(2))
    np.testing.assert_allclose(step, [-0.1 * 0.6 / 1.6, -0.1 * 0.8 / 1.8], rtol=1e-5)


def test_a_schedule_replaces_the_learning_rate():
    optimizer = make_optimizer(
        OptimizerConfig(learning_rate=0.1, eps=1e-12), lambda step: 0.5 / (1 + step)
    )
    state, sizes = optimizer.init(jnp.zeros(1)), []
    for _ in range(3):
        step, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
        sizes.append(float(step[0]))
    np.testing.assert_allclose(sizes, [-0.5, -0.25, -0.5 / 3], rtol=1e-4)


@pytest.mark.parametrize("bad", [{"learning_rate": 0.0}, {"clip": -1.0}])
def test_settings_that_cannot_learn_are_refused(bad: dict[str, float]):
    with pytest.raises(ValueError, match="must be positive"):
        OptimizerConfig(**bad)


def test_starts_are_distinct_states_of_the_batch():
    states = {"a": jnp.arange(12).reshape(3, 4), "b": 10.0 * jnp.arange(12).reshape(3, 4, 1)}
    drawn = draw_starts(states, 5, jax.random.key(0))
    assert len(set(drawn["a"].tolist())) == 5 and drawn["b"].shape == (5, 1)
    # all parts of the same states
    np.testing.assert_array_equal(drawn["b"][:, 0], 10.0 * drawn["a"])
    for count in (0, 12, 99):
        assert draw_starts(states, count, jax.random.key(0))["a"].tolist() == list(range(12))


def test_starts_carry_no_gradient():
    grad = jax.grad(lambda x: draw_starts(x, 2, jax.random.key(0)).sum())(jnp.ones((2, 3)))
    np.testing.assert_array_equal(grad, np.zeros((2, 3)))
