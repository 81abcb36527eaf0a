"""Tracked hazards: planar geometry by hand, the simulator's motion, imagined hazard positions."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.geometry import hazard_cost
from agents.safedreamer.imagine import imagine, rollout
from agents.safedreamer.model_loss import head_log_probs, model_loss
from agents.safedreamer.tracking import after_motion, hazard_lidar, tracking_error
from agents.safedreamer.world_model import WorldModel
from benchmarks.envs import env_spec, make_env
from tests.agent_inputs import HAZARDS, LIDAR, VECTOR, observations, replay_batch, tiny

TRACKED = dataclasses.replace(tiny("bsrp_lag").model, cost_source="tracked", lidar_bins=8)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    """A world model that always predicts a motion of 0.1 m ahead and 0.2 rad to the left."""
    model = WorldModel(TRACKED, VECTOR, rngs=nnx.Rngs(0), dtype=jnp.dtype("float32"))
    assert model.motion_head is not None
    model.motion_head.out.bias[...] = jnp.array([0.1, 0.0, 0.2])
    return model


# Geometry


def test_positions_after_a_motion_by_hand():
    ahead, left = jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])
    both = jnp.concatenate([ahead, left])
    np.testing.assert_allclose(
        after_motion(both, jnp.array([0.25, 0.5, 0.0])), [0.75, -0.5, -0.25, 1.5], atol=1e-6
    )
    # After a quarter turn to the left, a hazard ahead is to the right and one to the left is ahead.
    np.testing.assert_allclose(
        after_motion(both, jnp.array([0.0, 0.0, np.pi / 2])), [0.0, -1.0, 2.0, 0.0], atol=1e-6
    )
    # The displacement is in the old frame: first a metre ahead, then the turn.
    np.testing.assert_allclose(
        after_motion(left, jnp.array([1.0, 0.0, np.pi / 2])), [2.0, 1.0], atol=1e-6
    )


def test_motions_keep_distances_between_hazards():
    rng = np.random.default_rng(0)
    positions, motion = (
        rng.normal(size=(20, 8)).astype(np.float32),
        rng.normal(size=(20, 3)).astype(np.float32),
    )
    between = lambda p: np.linalg.norm(p.reshape(20, 4, 1, 2) - p.reshape(20, 1, 4, 2), axis=-1)  # noqa: E731
    np.testing.assert_allclose(
        between(np.asarray(after_motion(positions, motion))), between(positions), atol=1e-5
    )


def test_tracking_error_by_hand():
    observed = jnp.array([0.5, 0.0, 0.0, 1.5])
    predicted = jnp.array([0.5, 0.1, 0.2, 1.5])
    assert float(tracking_error(predicted, observed)) == pytest.approx(
        (0.01 / 0.5 + 0.04 / 2.5) / 2
    )


def test_the_simulators_hazards_move_by_one_planar_motion():
    """A motion fitted to four hazards of PointGoal1 (least squares) predicts the other four within
    5 mm.
    """
    env = make_env("SafetyPointGoal1-v0", "coordinates", 5)
    part, rng = env_spec(env).layout["hazards"], np.random.default_rng(0)
    seen = [env.reset(seed=1)[0]["observation"][part]]
    for _ in range(50):
        seen.append(env.step(rng.uniform(-1, 1, 2))[0]["observation"][part])
    env.close()
    worst, turns = 0.0, []
    for before, after in zip(seen, seen[1:], strict=False):
        p, q = (x[:8].reshape(4, 2).astype(np.float64) for x in (before, after))
        a, b = p - p.mean(0), q - q.mean(0)
        turn = -np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
        back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        motion = np.array([*(p.mean(0) - back @ q.mean(0)), turn], np.float32)
        worst = max(worst, float(np.abs(after_motion(before[8:], motion) - after[8:]).max()))
        turns.append(abs(turn))
    assert worst < 5e-3
    assert max(turns) > 0.05  # the robot turned


def test_lidar_by_hand():
    near, far = 0.25, 0.75
    at = lambda angle, distance: [distance * np.cos(angle), distance * np.sin(angle)]  # noqa: E731
    quarter = np.pi / 2  # four bins: ahead, left, behind, right

    def lidar(*hazards):
        return np.asarray(hazard_lidar(jnp.concatenate([jnp.array(h) for h in hazards]), 4))

    shine = lambda distance: np.exp(-2.0 * distance)  # noqa: E731
    np.testing.assert_allclose(lidar(at(0.0, near)), [shine(near), 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(
        lidar(at(quarter / 4, near)), [0.75 * shine(near), 0.25 * shine(near), 0, 0], atol=1e-5
    )
    np.testing.assert_allclose(
        lidar(at(-quarter / 2, far)), [0.5 * shine(far), 0, 0, 0.5 * shine(far)], atol=1e-5
    )
    # Of two hazards in one direction the nearer one shows; one behind shows behind.
    np.testing.assert_allclose(
        lidar(at(quarter, far), at(quarter, near), at(2 * quarter, far)),
        [0, shine(near), shine(far), 0],
        atol=1e-5,
    )


def test_lidar_has_finite_gradients_everywhere():
    for positions in ([0.0, 0.0], [-1.0, 0.0], [0.3, 0.3]):
        assert np.isfinite(
            jax.grad(lambda p: hazard_lidar(p, 16).sum())(jnp.array(positions))
        ).all()


# In the world model


def test_imagined_positions_follow_the_predicted_motion(model: WorldModel):
    obs = observations(VECTOR, (2,))
    start = model.belief(model.rssm.initial(2), obs)
    np.testing.assert_array_equal(start.hazards, obs["observation"][:, HAZARDS])
    beliefs, _ = rollout(
        model, start, lambda _, action: action, jnp.zeros((4, 2, 2)), jax.random.key(0)
    )
    expected = jnp.asarray(obs["observation"][:, HAZARDS])
    for step in range(1, 4):
        expected = after_motion(expected, jnp.broadcast_to(jnp.array([0.1, 0.0, 0.2]), (2, 3)))
        np.testing.assert_allclose(beliefs.hazards[step], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        model.cost(beliefs), hazard_cost(beliefs.hazards, TRACKED.hazard_radius)
    )
    view = model.view(beliefs)
    assert view.shape[-1] == model.view_dim == model.feat_dim + 8
    np.testing.assert_array_equal(view[..., : model.feat_dim], beliefs.feat)
    np.testing.assert_allclose(view[..., model.feat_dim :], hazard_lidar(beliefs.hazards, 8))


def test_motion_is_not_learned_across_episodes(model: WorldModel):
    batch = {name: jnp.asarray(x) for name, x in replay_batch(VECTOR).items()}
    feat = jnp.zeros((3, 6, model.feat_dim))
    motion = np.asarray(head_log_probs(model, feat, batch)["motion"])
    first = np.asarray(batch["is_first"]).copy()
    first[:, 0] = True
    np.testing.assert_array_equal(motion[first], 0.0)
    assert (motion[~first] < 0.0).all()


@pytest.mark.slow
def test_motion_is_learned():
    """Hazard positions as seen by a robot that moves at constant speed.

    After 60 updates the motion loss is below 5 % of its initial value.
    """
    batch = {name: jnp.asarray(x) for name, x in replay_batch(VECTOR, batch=4, length=8).items()}
    batch |= {name: jnp.zeros((4, 8), bool) for name in ("is_first", "is_last", "is_terminal")}
    positions = [jnp.asarray(np.random.default_rng(0).normal(size=(4, 4)), jnp.float32)]
    for _ in range(7):
        positions.append(
            after_motion(positions[-1], jnp.broadcast_to(jnp.array([0.2, 0.0, 0.1]), (4, 3)))
        )
    batch["observation"] = batch["observation"].at[..., HAZARDS].set(jnp.stack(positions, 1))
    fast = dataclasses.replace(TRACKED.optimizer, learning_rate=1e-2)
    agent = SafeDreamer(
        tiny("bsrp_lag", model=dataclasses.replace(TRACKED, optimizer=fast)), VECTOR
    )
    state = agent.init(0)
    losses = []
    for step in range(60):
        state, metrics = agent.update(state, batch, jax.random.key(step))
        losses.append(float(metrics["model/motion_loss"]))
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.slow
def test_the_actors_cost_gradient_flows_through_the_motion():
    """The cost of imagined steps depends on the actor's actions only through motions.

    Its gradient must not vanish.
    """
    agent = SafeDreamer(
        tiny(
            "bsrp_lag", model=dataclasses.replace(TRACKED, hazard_radius=1.0, hazard_softness=1.0)
        ),
        VECTOR,
    )
    nets = agent.networks(agent.init(0).params)
    nets.model.motion_head.out.kernel[...] = 0.1 * jax.random.normal(
        jax.random.key(2), nets.model.motion_head.out.kernel.shape
    )
    start = nets.model.belief(nets.model.rssm.initial(5), observations(VECTOR, (5,)))
    graph, params = nnx.split(nets.actor)

    def cost(p):
        traj = imagine(nets.model, nnx.merge(graph, p), start, jnp.ones(5), 4, jax.random.key(1))
        return nets.model.cost(traj.belief).sum()

    gradients = jax.tree.leaves(jax.grad(cost)(params))
    assert max(float(jnp.abs(g).max()) for g in gradients) > 1e-4


def test_the_model_loss_hands_observed_positions_to_imagination(model: WorldModel):
    batch = {name: jnp.asarray(x) for name, x in replay_batch(VECTOR).items()}
    _, output = model_loss(model, batch, jax.random.key(0))
    np.testing.assert_array_equal(output.belief.hazards, batch["observation"][..., HAZARDS])


def test_cost_precision_scores_the_predicted_motion_not_the_hazards_just_seen(model: WorldModel):
    """The robot stands still, but the model predicts that it moves 0.1 m ahead and turns.

    The predicted hazard positions are off by that motion.
    """
    batch = {name: jnp.asarray(x) for name, x in replay_batch(VECTOR).items()}
    # one hazard 0.09 m outside the radius of 0.25 m, one far away
    seen = jnp.tile(jnp.array([0.34, 0.0, 3.0, 0.0]), (3, 6, 1))
    batch["observation"] = batch["observation"].at[..., HAZARDS].set(seen)
    batch["cost"] = jnp.zeros((3, 6)).at[1, 2].set(1.0)
    expected = hazard_cost(
        after_motion(seen, jnp.broadcast_to(jnp.array([0.1, 0.0, 0.2]), (3, 6, 3))),
        TRACKED.hazard_radius,
    )
    assert (
        np.asarray(expected).min() == 1.0
        and float(hazard_cost(seen, TRACKED.hazard_radius).max()) == 0.0
    )
    _, output = model_loss(model, batch, jax.random.key(0))
    counted = 15 - int(batch["is_first"][:, 1:].sum())  # first rows have no prediction
    got = {
        name: float(output.metrics[f"model/cost_{name}"])
        for name in ("predicted", "precision", "recall", "true")
    }
    assert got == pytest.approx(
        {"predicted": 1.0, "precision": 1 / counted, "recall": 1.0, "true": 1 / counted}
    )


def test_tracking_is_refused_where_costs_do_not_follow_from_hazards():
    with pytest.raises(
        ValueError,
        match=r"cost_source=tracked .* no hazard positions: use --model\.cost-source head",
    ):
        WorldModel(TRACKED, LIDAR, rngs=nnx.Rngs(0), dtype=jnp.dtype("float32"))
