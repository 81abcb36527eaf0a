"""The complete agent: every variant, tracing, isolation of training and evaluation, dtypes,
invalid settings.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import ImaginationConfig, ModelConfig, SafeDreamerConfig
from agents.safedreamer.learner import AgentState
from agents.safedreamer.presets import METHODS, agent_config
from agents.settings import AugmentedConfig, OptimizerConfig
from tests.agent_inputs import (
    ENVS,
    LIDAR,
    VECTOR,
    acts_and_updates,
    as_float,
    copied,
    observations,
    replay_batch,
    same,
    tiny,
)

ENVS_PER_CALL = 3
NAN = float("nan")

SLOW = pytest.mark.slow


def act(agent: SafeDreamer, state: AgentState, carry, seed: int, mode="train", first: bool = False):
    is_first = np.array([first, True, first])
    return agent.act(
        state,
        carry,
        observations(agent.env, (ENVS_PER_CALL,), seed),
        is_first,
        jax.random.key(seed),
        mode,
    )


@pytest.fixture(scope="module")
def planner() -> SafeDreamer:
    """OSRP-Lag with actor proposals and sampled actions: the variant that covers the most code."""
    config = tiny("osrp_lag")
    return SafeDreamer(
        dataclasses.replace(
            config, planner=dataclasses.replace(config.planner, actor_fraction=0.25)
        ),
        VECTOR,
    )


@pytest.fixture(scope="module")
def background() -> SafeDreamer:
    return SafeDreamer(tiny("bsrp_lag"), VECTOR)


# Every variant


@pytest.mark.parametrize(
    ("method", "obs"),
    [(method, "lidar") for method in METHODS]
    + [("osrp_lag", obs) for obs in ("coordinates", "vision")],
)
def test_every_variant_acts_and_updates(method: str, obs: str):
    agent = SafeDreamer(tiny(method, obs), ENVS[obs])
    _, info, metrics = acts_and_updates(agent, replay_batch(agent.env))
    report = {f"plan/{x}" for x in ("safe_fraction", "none_safe", "ret", "cost", "spread")}
    assert report & set(info) == (report if agent.config.act_with == "planner" else set())
    assert ("cost_critic/loss" in metrics) == agent.config.use_cost
    constrains_actor = {"augmented/multiplier", "augmented/penalty", "pid/penalty"} & set(metrics)
    assert constrains_actor == (
        {"augmented/multiplier", "augmented/penalty"} if method == "bsrp_lag" else set()
    )


@pytest.mark.parametrize("preset", ["release", "cpu"])
@pytest.mark.parametrize("obs", ENVS)
@pytest.mark.parametrize("method", METHODS)
def test_presets_are_valid(method: str, obs: str, preset: str):
    config = agent_config(method, obs, preset)
    assert (config.act_with == "planner") == (method in ("osrp", "osrp_lag", "cem"))
    assert config.multiplier == {"osrp_lag": "pid", "bsrp_lag": "augmented"}.get(method, "none")
    assert config.use_cost == (method not in ("dreamerv3", "cem")) or preset != "release"
    assert config.planner.feasible_filter == (method != "cem")


def test_release_sizes_are_the_specifications():
    vision, vector = (
        agent_config("osrp", "vision", "release"),
        agent_config("osrp", "coordinates", "release"),
    )
    assert (vision.model.deter, vision.model.stoch, vision.model.classes, vision.model.units) == (
        512,
        48,
        48,
        512,
    )
    assert (vector.model.deter, vector.model.stoch, vector.model.classes, vector.model.units) == (
        256,
        16,
        16,
        256,
    )
    assert (
        vision.cost_limit,
        vector.cost_limit,
        vision.model.cost_weight,
        vector.model.cost_weight,
    ) == (2.0, 0.0, 10.0, 1.0)
    assert (vision.model.cost_source, vector.model.cost_source) == ("head", "geometry")
    assert (vision.planner.proposals, vector.planner.proposals) == (0, 25)


# Tracing


@pytest.mark.slow
@pytest.mark.parametrize("name", ["planner", "background"])
def test_each_function_is_traced_once(name: str, request: pytest.FixtureRequest):
    """The first test that uses the two agents, so that they have compiled nothing before."""
    agent = request.getfixturevalue(name)
    state, carry, sizes = agent.init(0), agent.init_carry(ENVS_PER_CALL), []
    functions = agent._act, agent._update, agent._end_episode
    for step in range(3):
        action, carry, _ = act(agent, state, carry, step, first=step == 0)
        assert np.abs(action).max() <= 1.0
        state, _ = agent.update(state, replay_batch(agent.env, seed=step), jax.random.key(step))
        state = agent.end_episode(state, 30.0 * step, 6000 * step)
        sizes.append([function._cache_size() for function in functions])
    assert sizes == [[1, 1, int(name == "planner")]] * 3  # BSRP-Lag's episodes move nothing


@pytest.mark.slow
def test_an_update_takes_over_its_states_memory_and_leaves_the_batch_alone(background: SafeDreamer):
    state, batch = background.init(0), jax.device_put(replay_batch(VECTOR))
    background.update(state, batch, jax.random.key(0))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    assert not any(leaf.is_deleted() for leaf in batch.values())


@pytest.mark.slow
def test_an_update_on_a_batch_of_the_device_moves_nothing_from_the_host(background: SafeDreamer):
    batch, key = replay_batch(VECTOR), jax.random.key(0)
    on_device = jax.device_put(batch)
    state, _ = background.update(background.init(0), on_device, key)
    with jax.transfer_guard_host_to_device("disallow"):
        state, _ = background.update(state, on_device, key)
        with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
            background.update(state, batch, key)


@pytest.mark.parametrize("name", [pytest.param("planner", marks=SLOW), "background"])
def test_an_action_takes_observations_from_the_host_and_nothing_else(
    name: str, request: pytest.FixtureRequest
):
    agent, key = request.getfixturevalue(name), jax.random.key(0)
    state, carry = agent.init(0), agent.init_carry(ENVS_PER_CALL)
    obs = observations(agent.env, (ENVS_PER_CALL,))
    on_device = jax.device_put((obs, np.zeros(ENVS_PER_CALL, bool)))
    for mode in ("train", "eval"):
        _, carry, _ = agent.act(state, carry, *on_device, key, mode)
        with jax.transfer_guard_host_to_device("disallow"):
            action, carry, _ = agent.act(state, carry, *on_device, key, mode)
            assert isinstance(action, jax.Array)  # stays on the device
            with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
                agent.act(state, carry, obs, on_device[1], key, mode)


# Isolation and resets


@pytest.mark.parametrize("name", [pytest.param("planner", marks=SLOW), "background"])
def test_evaluation_leaves_training_alone(name: str, request: pytest.FixtureRequest):
    agent = request.getfixturevalue(name)

    def train(evaluate: bool):
        state, carry, actions = agent.init(0), agent.init_carry(ENVS_PER_CALL), []
        for step in range(2):
            action, carry, _ = act(agent, state, carry, step)
            actions.append(np.asarray(action))
            if evaluate:
                eval_carry = agent.init_carry(ENVS_PER_CALL)
                for t in range(2):
                    _, eval_carry, _ = act(agent, state, eval_carry, 100 + t, "eval")
            state, _ = agent.update(state, replay_batch(agent.env, seed=step), jax.random.key(step))
            state = agent.end_episode(state, 50.0, 6000)
        return copied(state), actions

    assert same(train(True), train(False))


def test_environments_and_resets_are_separate(planner: SafeDreamer):
    """A row's action depends only on its own history since its last reset."""
    state = planner.init(0)
    obs = observations(planner.env, (ENVS_PER_CALL,), 5)
    carry = planner.init_carry(ENVS_PER_CALL)
    _, carry, _ = act(planner, state, carry, 0, first=True)
    other = jax.tree.map(lambda x: x.at[1].add(0.3), carry)  # a different history of row 1
    key, reset, going = jax.random.key(1), np.array([False, True, False]), np.zeros(3, bool)
    first, second = (
        np.asarray(planner.act(state, c, obs, reset, key, "eval")[0]) for c in (carry, other)
    )
    np.testing.assert_array_equal(first, second)
    first, second = (
        np.asarray(planner.act(state, c, obs, going, key, "eval")[0]) for c in (carry, other)
    )
    np.testing.assert_array_equal(first[[0, 2]], second[[0, 2]])
    assert not np.allclose(first[1], second[1])


def test_plan_is_carried_and_reset(planner: SafeDreamer):
    state, carry = planner.init(0), planner.init_carry(ENVS_PER_CALL)
    action, carry, info = act(planner, state, carry, 0, "eval", first=True)
    assert carry.plan.shape == (ENVS_PER_CALL, planner.config.planner.horizon + 1, 2)
    # the first row of the mean is executed
    np.testing.assert_allclose(action, np.clip(carry.plan[:, 0], -1, 1))
    safe = np.asarray(info["plan/safe_fraction"])
    assert ((safe >= 0) & (safe <= 1)).all()
    np.testing.assert_array_equal(info["plan/none_safe"], safe == 0)


def test_evaluation_takes_the_mode(background: SafeDreamer):
    state, carry = background.init(0), background.init_carry(ENVS_PER_CALL)
    obs, first = observations(VECTOR, (ENVS_PER_CALL,)), np.ones(3, bool)
    draw = lambda mode: background.act(state, carry, obs, first, jax.random.key(2), mode)  # noqa: E731
    mode, sample = draw("eval"), draw("train")
    nets = background.networks(state.params)
    np.testing.assert_allclose(mode[0], nets.actor(mode[1].latent.feat)[0], rtol=1e-5)
    np.testing.assert_array_equal(mode[1].latent.deter, sample[1].latent.deter)
    assert not np.allclose(mode[0], sample[0])


def test_only_training_episodes_move_the_multiplier(planner: SafeDreamer, background: SafeDreamer):
    state = planner.init(0)
    moved = planner.end_episode(state, 500.0, 6000)
    # One step by hand: c = 5, e = 3, I = 0.001 + 0.03, P = 0.15, D = 0.25 -> 0.015 + 0.031 + 0.0025
    assert float(moved.pid.multiplier) == pytest.approx(0.0485, rel=1e-4)
    assert float(planner.end_episode(state, 500.0, 4000).pid.multiplier) == 0.0
    other = background.init(0)
    assert background.end_episode(other, 500.0, 6000) is other


def driven_by_episodes(cost_source: str) -> SafeDreamer:
    """BSRP-Lag with imagination horizon 5, cost discount horizon 20 and 250 agent steps per
    episode.
    """
    config = tiny(
        "bsrp_lag", augmented=AugmentedConfig(0.5, 1e-3, penalty_growth=0.1, driven_by="episode")
    )
    imagination = dataclasses.replace(config.imagination, cost_discount_horizon=20.0)
    model = dataclasses.replace(config.model, cost_source=cost_source)
    return SafeDreamer(dataclasses.replace(config, imagination=imagination, model=model), VECTOR)


# An excess of 40 is 40 * 5 * 20 / 250 = 16 in imagined units, or 4 where hazards are counted once
# per 4 simulator steps. Ten updates in 500 agent steps are 5 per episode, so with a penalty
# coefficient of 1e-3 the multiplier moves by 5 * 1e-3 * 16 or 5 * 1e-3 * 4.
@pytest.mark.parametrize(
    ("cost_source", "move"), [("head", 0.08), ("geometry", 0.02), ("tracked", 0.02)]
)
def test_episodes_move_the_augmented_multiplier_by_hand(cost_source: str, move: float):
    agent = driven_by_episodes(cost_source)
    state = agent.init(0)._replace(updates=jnp.int32(10))
    above, below = agent.end_episode(state, 42.0, 500), agent.end_episode(state, 0.0, 500)
    np.testing.assert_allclose(above.augmented, [0.5 + move, 1e-3], rtol=1e-6)
    np.testing.assert_allclose(below.augmented, [0.5 - move * 2 / 40, 1e-3], rtol=1e-6)
    assert above._replace(augmented=state.augmented) == state
    unlearned = agent.end_episode(agent.init(0), 42.0, 500)  # no updates, no move
    assert float(unlearned.augmented.multiplier) == 0.5


@pytest.mark.slow
def test_updates_leave_a_multiplier_that_episodes_drive():
    agent = driven_by_episodes("head")
    state, metrics = agent.update(agent.init(0), replay_batch(VECTOR), jax.random.key(0))
    np.testing.assert_allclose(state.augmented, [0.5, 1.1e-3], rtol=1e-6)
    assert (
        float(metrics["augmented/multiplier"]) == 0.5 and float(metrics["augmented/excess"]) != 0.0
    )


def test_updates_move_a_multiplier_that_imagination_drives(background: SafeDreamer):
    before = copied(background.init(0)).augmented
    state, metrics = background.update(background.init(0), replay_batch(VECTOR), jax.random.key(0))
    assert float(metrics["augmented/excess"]) != 0.0
    np.testing.assert_allclose(
        state.augmented.multiplier,
        before.multiplier + before.penalty * metrics["augmented/excess"],
        rtol=1e-6,
    )


# One update


def test_update_moves_each_network_once(background: SafeDreamer):
    before = copied(background.init(0))
    after, metrics = background.update(background.init(0), replay_batch(VECTOR), jax.random.key(0))
    after = copied(after)
    rates = {"model": 1e-4, "actor": 3e-5, "critic": 3e-5, "cost_critic": 3e-5}
    for name, rate in rates.items():
        old, new = getattr(before.params, name), getattr(after.params, name)
        change = max(
            float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new))
        )
        assert 0.1 * rate < change < 1.05 * rate, name  # Adam's first step: about the rate
    assert same(after.slow_critic, after.params.critic)  # the first update copies
    assert int(after.updates) == 1
    assert float(after.augmented.penalty) == pytest.approx(5e-9 * (1 + 1e-5), rel=1e-6)
    metrics = as_float(metrics)
    assert all(np.isfinite(x) for x in metrics.values()), metrics
    # A zero-initialised head is uniform over its bins.
    assert metrics["model/reward_loss"] == pytest.approx(
        np.log(background.config.model.bins), rel=1e-4
    )


def test_same_seed_same_update(background: SafeDreamer):
    runs = [
        copied(background.update(background.init(3), replay_batch(VECTOR), jax.random.key(1)))
        for _ in range(2)
    ]
    assert same(*runs)
    other = background.update(background.init(4), replay_batch(VECTOR), jax.random.key(1))[1]
    assert float(other["model/loss"]) != float(runs[0][1]["model/loss"])


@pytest.mark.slow
def test_costs_have_a_discount_and_a_lambda_of_their_own(background: SafeDreamer):
    """Separate cost settings change cost returns only.

    Imagined trajectories, rewards and reward returns stay the same.
    """
    imagination = dataclasses.replace(
        background.config.imagination, cost_discount_horizon=3.0, cost_lam=0.2
    )
    own = SafeDreamer(dataclasses.replace(background.config, imagination=imagination), VECTOR)
    shared, other = (
        as_float(agent.update(agent.init(0), replay_batch(VECTOR), jax.random.key(0))[1])
        for agent in (background, own)
    )
    for name in ("imagined/reward", "imagined/return", "imagined/cost", "critic/loss"):
        assert other[name] == pytest.approx(shared[name], rel=1e-5), name
    assert abs(other["imagined/cost_return"] / shared["imagined/cost_return"] - 1) > 0.02
    assert other["augmented/excess"] != shared["augmented/excess"]


def test_fewer_starts_are_drawn_from_the_posterior():
    config = tiny("dreamerv3", imagination=ImaginationConfig(horizon=2, starts=4))
    agent = SafeDreamer(config, VECTOR)
    rows = jnp.arange(18.0).reshape(3, 6, 1)
    output = type("Output", (), {"belief": rows})
    terminal = {"is_terminal": (rows[..., 0] % 2).astype(bool)}
    chosen, cont = agent.learner.starts(output, terminal, jax.random.key(0))
    chosen = np.asarray(chosen)[:, 0]
    assert len(set(chosen)) == 4
    np.testing.assert_array_equal(cont, 1 - chosen % 2)


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(background: SafeDreamer):
    low = SafeDreamer(dataclasses.replace(background.config, dtype="bfloat16"), VECTOR)
    state, metrics = low.update(low.init(0), replay_batch(VECTOR), jax.random.key(0))
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    reference = as_float(
        background.update(background.init(0), replay_batch(VECTOR), jax.random.key(0))[1]
    )
    metrics = as_float(metrics)
    assert all(np.isfinite(x) for x in metrics.values()), metrics
    for name in (
        "model/loss",
        "model/observation_loss",
        "model/reward_loss",
        "model/cost_loss",
        "critic/loss",
    ):
        assert metrics[name] == pytest.approx(reference[name], rel=0.05), name
    # Rounding may flip a sampled latent class and so change the action, but in few rows.
    first, obs = np.ones(64, bool), observations(VECTOR, (64,))
    actions = [
        np.asarray(
            agent.act(agent.init(0), agent.init_carry(64), obs, first, jax.random.key(0), "eval")[0]
        )
        for agent in (low, background)
    ]
    assert np.median(np.abs(actions[0] - actions[1])) < 0.02


# Bad settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SafeDreamerConfig(cost_limit=-1.0), "cost_limit=-1.0"),
        (lambda: ModelConfig(deter=0), "model.deter=0"),
        (lambda: ModelConfig(classes=1), "model.classes=1"),
        (lambda: ModelConfig(bins=254), "model.bins=254 must be odd"),
        (lambda: ModelConfig(unimix=1.0), "model.unimix=1.0"),
        (lambda: ModelConfig(hazard_radius=0.0), "model.hazard_radius=0.0 must be positive"),
        (lambda: ModelConfig(hazard_radius=-0.2), "model.hazard_radius=-0.2 must be positive"),
        (lambda: ModelConfig(hazard_radius=NAN), "model.hazard_radius=nan"),
        (
            lambda: ModelConfig(hazard_softness=-0.01),
            "model.hazard_softness=-0.01 must not be negative",
        ),
        (lambda: ModelConfig(hazard_softness=NAN), "model.hazard_softness=nan"),
        (lambda: ImaginationConfig(horizon=0), "imagination.horizon=0"),
        (lambda: ImaginationConfig(lam=1.5), "imagination.lam=1.5"),
        (lambda: ImaginationConfig(discount_horizon=1.0), "discount_horizon=1.0"),
        (
            lambda: ImaginationConfig(cost_discount_horizon=1.0),
            "cost_discount_horizon=1.0 must exceed 1 step, or be 0",
        ),
        (lambda: ImaginationConfig(cost_discount_horizon=-8.0), "cost_discount_horizon=-8.0"),
        (lambda: ImaginationConfig(cost_discount_horizon=NAN), "cost_discount_horizon=nan"),
        (lambda: ImaginationConfig(cost_lam=1.01), "cost_lam=1.01 must lie in 0..1, or be -1"),
        (lambda: ImaginationConfig(cost_lam=-0.5), "cost_lam=-0.5"),
        (lambda: ImaginationConfig(cost_lam=NAN), "cost_lam=nan"),
        (lambda: OptimizerConfig(learning_rate=0.0), "learning_rate=0.0"),
        (lambda: OptimizerConfig(eps=0.0), "eps=0.0"),
        (lambda: tiny("osrp", model=ModelConfig(cost_source="none")), "cost_source"),
        (lambda: tiny("osrp_lag", multiplier="none"), "needs multiplier=pid"),
        (lambda: tiny("osrp", multiplier="pid"), "set planner.objective=lagrangian"),
        (
            lambda: SafeDreamer(tiny("osrp", model=ModelConfig(cost_source="geometry")), LIDAR),
            "hazard positions",
        ),
    ],
)
def test_impossible_settings_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


def test_costs_have_the_rewards_discount_and_lambda_unless_given():
    rewards = ImaginationConfig(lam=0.9, discount_horizon=50.0)
    assert (rewards.cost_discount_horizon, rewards.cost_lam) == (0.0, -1.0)
    assert (
        (rewards.cost_discount, rewards.lam_of_costs)
        == (rewards.discount, rewards.lam)
        == (0.98, 0.9)
    )
    own = dataclasses.replace(rewards, cost_discount_horizon=8.0, cost_lam=0.0)
    assert (own.cost_discount, own.lam_of_costs, own.discount, own.lam) == (0.875, 0.0, 0.98, 0.9)
