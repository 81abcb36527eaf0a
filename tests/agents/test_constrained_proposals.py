"""A constrained actor that proposes plans to a planner.

Which multiplier enters the actor's loss, which ones episodes update, which environments the actor
controls.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import SafeDreamerConfig
from agents.settings import AugmentedConfig
from tests.agent_inputs import VECTOR, observations, replay_batch, tiny


def with_planner(config: SafeDreamerConfig, **changes: object) -> SafeDreamerConfig:
    return dataclasses.replace(config, planner=dataclasses.replace(config.planner, **changes))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("method", "constraint", "expected"),
    [
        ("osrp", "method", "none"),
        ("osrp_lag", "method", "none"),  # its PID multiplier enters the plan's score
        ("bsrp_lag", "method", "augmented"),
        ("osrp", "augmented", "augmented"),
        ("osrp_lag", "augmented", "augmented"),
        ("osrp_lag", "pid", "pid"),
        ("osrp_lag", "none", "none"),
    ],
)
def test_what_constrains_the_actor(method: str, constraint: str, expected: str):
    config = tiny(method, actor_constraint=constraint)
    assert config.actor_multiplier == expected
    assert config.uses_pid == (method == "osrp_lag" or constraint == "pid")


@pytest.mark.parametrize(("method", "constraint"), [("osrp", "augmented"), ("osrp_lag", "pid")])
def test_the_constraint_enters_the_actors_loss(method: str, constraint: str):
    """Methods without a constraint of their proposals are traced in test_agent."""
    agent = SafeDreamer(tiny(method, actor_constraint=constraint), VECTOR)
    _, metrics = jax.eval_shape(
        agent.learner.update,
        jax.eval_shape(agent.init, 0),
        replay_batch(VECTOR),
        jax.random.key(0),
    )
    penalties = {"augmented/penalty", "pid/penalty"} & set(metrics)
    assert penalties == {f"{constraint}/penalty"}


def test_an_acting_actor_takes_its_methods_multiplier():
    with pytest.raises(ValueError, match="set multiplier, and leave actor_constraint at method"):
        tiny("bsrp_lag", actor_constraint="pid")


def test_episodes_move_both_multipliers():
    config = tiny(
        "osrp_lag",
        actor_constraint="augmented",
        augmented=AugmentedConfig(0.5, 1e-3, driven_by="episode"),
        cost_limit=2.0,
    )
    agent = SafeDreamer(config, VECTOR)
    state = jax.tree.map(jnp.asarray, agent.init(0)._replace(updates=jnp.int32(10)))
    moved = agent.end_episode(state, 500.0, 6000)
    assert float(moved.pid.multiplier) == pytest.approx(0.0485, rel=1e-4)  # by hand in test_agent
    assert float(moved.augmented.multiplier) > 0.5


@pytest.fixture(scope="module")
def shared() -> SafeDreamer:
    return SafeDreamer(with_planner(tiny("osrp"), actor_share=0.5, kept_elites=2), VECTOR)


@pytest.mark.slow
def test_the_actor_acts_in_its_share_of_the_training_environments(shared: SafeDreamer):
    """A share of 0.5 is one of three environments; the others execute the planner's mean.

    Evaluation plans in every environment.
    """
    state, carry = shared.init(0), shared.init_carry(3)
    arguments = (state, carry, observations(VECTOR, (3,)), np.ones(3, bool), jax.random.key(5))
    train, after, info = shared.act(*arguments, "train")
    planned, evaluated, _ = shared.act(*arguments, "eval")
    np.testing.assert_array_equal(planned, jnp.clip(evaluated.plan[:, 0], -1, 1))
    np.testing.assert_array_equal(train[1:], jnp.clip(after.plan[1:, 0], -1, 1))
    np.testing.assert_array_equal(after.plan[0], carry.plan[0])  # no planning here
    np.testing.assert_array_equal(after.kept[0], 0.0)
    assert (np.abs(np.asarray(after.kept[1:])).max((-1, -2)) > 0.0).all()  # two plans each
    for name, report in ((n, x) for n, x in info.items() if n.startswith("plan/")):
        assert float(report[0]) == pytest.approx(float(report[1:].mean()), rel=1e-5), name
    mean, std = shared.networks(state.params).actor(after.latent.feat)
    noise = jax.random.normal(jax.random.split(arguments[-1], 3)[2], mean.shape)
    np.testing.assert_allclose(
        train[0], np.clip(mean + std * noise, -1, 1)[0], rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(train[0], planned[0])


def test_impossible_shares_are_refused():
    with pytest.raises(ValueError, match=r"actor_share=1\.5"):
        with_planner(tiny("osrp"), actor_share=1.5)
