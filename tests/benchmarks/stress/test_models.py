"""Degraded world models, and the planner's margin: what changes, and that nothing else does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.api import ArraySpec, EnvSpec
from agents.safedreamer import agent as agent_module
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.tracking import untracked
from benchmarks.envs.factory import EnvFactory
from benchmarks.runs import checkpoint
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import to_dict
from benchmarks.runs.spec_file import from_dict
from benchmarks.stress import models
from benchmarks.stress.perturbation import Acting, Policy, acting
from benchmarks.stress.registry import PERTURBATIONS, check
from benchmarks.zoo.trained import Trained
from tests.agent_inputs import LIDAR, observations, tiny
from tests.specs import spec_of

E = 3
ENV = EnvSpec({"observation": ArraySpec((12,), "float32")}, 2, 4, 1000, {}, ("hazards",), 0.2)


def policy(method: str, path: Path = Path(), **changes: Any) -> Policy:
    spec = spec_of(method, "lidar", **changes)
    return Policy(spec, ENV, Trained(spec, path, 0, 0), EnvFactory(spec.task, spec.obs))


@pytest.fixture(scope="module")
def agents() -> dict[str, Acting]:
    """An actor and a planner, whose cost head predicts something."""
    found = {}
    for method in ("bsrp_lag", "osrp"):
        agent = SafeDreamer(tiny(method, "lidar"), LIDAR)
        found[method] = Acting(agent, agent.init(0))
    return found


def acts(it: Acting, env: EnvSpec = LIDAR) -> tuple[np.ndarray, Any, dict[str, np.ndarray]]:
    """Actions, carry and report of the second step of an episode."""
    carry = it.agent.init_carry(E)
    for step, first in enumerate((True, False)):
        action, carry, info = it.agent.act(
            it.state, carry, observations(env, (E,), step), np.full(E, first), jax.random.key(step),
            "eval",
        )  # fmt: skip
    return np.asarray(action), carry, {name: np.asarray(x) for name, x in info.items()}


def degraded(name: str, it: Acting, method: str, strength: float) -> Acting:
    return acting(PERTURBATIONS[name], policy(method), it, strength)


def test_strength_0_is_the_agent_itself(agents):
    for name in ("latent_noise", "dynamics_noise", "cost_bias", "cost_noise", "model_bits"):
        assert degraded(name, agents["osrp"], "osrp", 0.0) is agents["osrp"]


def test_an_exchange_of_nothing_acts_as_without_one(agents):
    it = agents["osrp"]
    same = SafeDreamer(it.agent.config, LIDAR, acting=lambda nets, key: nets)
    for mine, theirs in zip(
        jax.tree.leaves(acts(it)), jax.tree.leaves(acts(Acting(same, it.state)))
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_noise_on_latents_leaves_the_filters_memory_alone(agents):
    it = agents["bsrp_lag"]
    action, carry, _ = acts(it)
    noisy, memory, _ = acts(degraded("latent_noise", it, "bsrp_lag", 0.5))
    assert np.abs(noisy - action).max() > 1e-3
    np.testing.assert_allclose(memory.latent.deter[:, :3], carry.latent.deter[:, :3], atol=0.5)
    # the memory differs only through the noisy action
    first = it.agent.init_carry(E)
    obs, start, key = observations(LIDAR, (E,)), np.full(E, True), jax.random.key(0)
    memories = [
        x.agent.act(x.state, first, obs, start, key, "eval")[1].latent
        for x in (it, degraded("latent_noise", it, "bsrp_lag", 0.5))
    ]
    np.testing.assert_array_equal(memories[0].deter, memories[1].deter)
    moved = degraded("dynamics_noise", it, "bsrp_lag", 0.5)
    changed = moved.agent.act(moved.state, first, obs, start, key, "eval")[1].latent
    assert np.abs(changed.deter - memories[0].deter).max() > 1e-3


def test_noise_has_the_strength_of_the_latents_size(agents):
    agent, state = agents["osrp"]
    nets = agent.networks(state.params)
    deter = 3.0 * jax.random.normal(jax.random.key(1), (50, nets.model.config.deter))
    rng = jax.random.key(2)
    before = nets.model.rssm.next_deter(deter, _stoch(nets, 50), jnp.zeros((50, 2)))
    models.noisy_dynamics(nets, rng, 0.2)
    after = nets.model.rssm.next_deter(deter, _stoch(nets, 50), jnp.zeros((50, 2)))
    size = np.sqrt(np.square(before).mean(-1, keepdims=True))
    assert ((after - before) / size).std() == pytest.approx(0.2, rel=0.1)
    other = nets.model.rssm.next_deter(deter + 0.1, _stoch(nets, 50), jnp.zeros((50, 2)))
    assert np.abs(np.corrcoef(np.ravel(other - before), np.ravel(after - before))[0, 1]) < 0.5


def _stoch(nets: Any, count: int) -> jax.Array:
    config = nets.model.config
    return jnp.zeros((count, config.stoch, config.classes)).at[..., 0].set(1.0)


def beliefs(nets: Any, count: int = 200) -> Any:
    config = nets.model.config
    latent = nets.model.rssm.initial(count)
    return untracked(
        latent._replace(deter=jax.random.normal(jax.random.key(3), (count, config.deter)))
    )


def test_predicted_costs_are_biased_and_noisy(agents):
    agent, state = agents["osrp"]
    nets, belief = agent.networks(state.params), None
    belief = beliefs(nets)
    true, value = nets.model.cost(belief), nets.cost_critic.value(nets.model.view(belief))
    biased = models.biased_costs(agent.networks(state.params), jax.random.key(0), 0.25)
    np.testing.assert_allclose(biased.model.cost(belief), 0.75 * true, rtol=1e-6)
    np.testing.assert_allclose(
        biased.cost_critic.value(nets.model.view(belief)), 0.75 * value, rtol=1e-6
    )
    noisy = models.noisy_costs(agent.networks(state.params), jax.random.key(0), 0.3)
    found = np.asarray(noisy.model.cost(belief))
    assert found.min() >= 0.0
    positive = found > 0
    expected = (
        np.asarray(true)
        + 0.3 * np.asarray(models._noise_like(jax.random.key(0), belief.latent.deter))[:, 0]
    )
    np.testing.assert_allclose(found[positive], expected[positive], rtol=1e-5)
    assert 0.3 < positive.mean() < 1.0


def test_a_planner_blind_to_costs_promises_none(agents):
    report = acts(agents["osrp"])[2]
    blind = acts(degraded("cost_bias", agents["osrp"], "osrp", 1.0))[2]
    assert np.abs(report["plan/cost"]).max() > 0 and not blind["plan/cost"].any()
    assert (blind["plan/safe_fraction"] == 1.0).all()


def test_fewer_bits():
    x = jnp.array([1.2345, -1.2345, 1.4, 1.5, 0.0], jnp.float32)
    # three bits of mantissa: eighths
    np.testing.assert_array_equal(models.rounded(x, 20), [1.25, -1.25, 1.375, 1.5, 0.0])
    np.testing.assert_array_equal(models.rounded(x, 23), [1.0, -1.0, 1.0, 2.0, 0.0])
    np.testing.assert_array_equal(models.rounded(x, 0), x)
    np.testing.assert_array_equal(models.rounded(jnp.arange(3), 20), [0, 1, 2])


def test_fewer_bits_are_the_models_alone(agents):
    it = agents["bsrp_lag"]
    rough = degraded("model_bits", it, "bsrp_lag", 20)
    assert rough.state.params.actor is it.state.params.actor
    before, after = (jax.tree.leaves(x.state.params.model) for x in (it, rough))
    assert all(np.array_equal(models.rounded(a, 20), b) for a, b in zip(before, after))
    assert any(not np.array_equal(a, b) for a, b in zip(before, after))


def test_the_world_model_of_an_earlier_checkpoint(agents, tmp_path):
    agent, state = agents["bsrp_lag"]
    states = [agent.init(seed) for seed in (1, 2)] + [state]
    meta = {"run_id": "x"}
    paths = [
        checkpoint.save(tmp_path, 100 * i, {checkpoint.LEARNER: s}, meta, keep=3)
        for i, s in enumerate(states, 1)
    ]
    of = policy("bsrp_lag", paths[-1])
    assert models.checkpoints(of) == [paths[1], paths[0]]
    old = acting(PERTURBATIONS["older_model"], of, agents["bsrp_lag"], 2)
    for mine, theirs in zip(
        jax.tree.leaves(old.state.params.model), jax.tree.leaves(states[0].params.model)
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert old.state.params.actor is state.params.actor
    with pytest.raises(BadInput, match=r"a checkpoint 3 before the newest \(its folder has 2"):
        check(of, PERTURBATIONS["older_model"], [3])


@pytest.mark.parametrize(
    ("method", "name", "lacks"),
    [
        ("bsrp_lag", "cost_bias", "a planner that uses predicted costs"),
        ("cem", "cost_noise", "a planner that uses predicted costs"),
        ("lambda", "latent_noise", "a world model of SafeDreamer's family"),
        ("sac", "model_bits", "a world model that it acts with"),
        ("bsrp_lag", "sensor_noise", ""),
        ("bsrp_lag", "image_blur", "pictures"),
        ("bsrp_lag", "friction", "wheels or legs"),
        ("bsrp_lag", "wall_distance", "walls that cost"),
        ("bsrp_lag", "cost_excess", r"walls \(Circle, Run\) or a speed limit that costs"),
        ("bsrp_lag", "camera_tilt", "pictures"),
        ("lambda", "cost_delay", "a world model of SafeDreamer's family that predicts costs"),
        ("bsrp_lag", "cost_delay", ""),
        ("bsrp_lag", "arena_smaller", ""),
    ],
)
def test_what_a_policy_cannot_have_is_refused_with_what_it_can(method, name, lacks):
    of = policy(method)
    if not lacks:
        check(of, PERTURBATIONS[name], [1])
        return
    with pytest.raises(BadInput, match=f"{name} needs {lacks}.* it can have sensor_noise, .*mass"):
        check(of, PERTURBATIONS[name], [0.1])


@pytest.mark.parametrize(
    ("name", "task", "lacks"),
    [
        ("arena_smaller", "SafetyPointButton1-v0", "an arena with room for other layouts"),
        ("arena_larger", "SafetyPointButton1-v0", ""),
        ("arena_larger", "SafetyPointCircle1-v0", "an arena with room for other layouts"),
        ("sky_colour", "SafetyPointGoal1-v0", ""),
        ("sky_colour", "tests.fakes.shore:shore", "pictures that Safety-Gymnasium renders"),
    ],
)
def test_arenas_and_looks_are_those_of_some_tasks(name, task, lacks):
    seen = dataclasses.replace(ENV, obs={"image": ArraySpec((64, 64, 3), "uint8")})
    of = policy("bsrp_lag", task=task)._replace(env=seen)
    refusal = PERTURBATIONS[name].refusal(of, 1.0)
    assert refusal.startswith(lacks) and bool(refusal) == bool(lacks)


def test_a_margin_lowers_the_limit_of_plans_alone(monkeypatch):
    limits = []
    real = agent_module.plan

    def spy(config, evaluate, start, proposals, limit, *rest):
        limits.append(limit)
        return real(config, evaluate, start, proposals, limit, *rest)

    monkeypatch.setattr(agent_module, "plan", spy)
    base = tiny("osrp", "lidar", cost_limit=2.0)
    for margin in (0.0, 0.5, 5.0):
        planner = dataclasses.replace(base.planner, cost_margin=margin)
        agent = SafeDreamer(dataclasses.replace(base, planner=planner), LIDAR)
        jax.eval_shape(
            lambda agent=agent: agent._act_impl(
                agent.init(0).params, jnp.zeros(()), agent.init_carry(E),
                observations(LIDAR, (E,)), jnp.ones(E, bool), jax.random.key(0), "eval",
            )
        )  # fmt: skip
    assert limits == [2.0, 1.5, 0.0]
    with pytest.raises(ValueError, match=r"cost_margin=-1\.0 must not be negative"):
        dataclasses.replace(base.planner, cost_margin=-1.0)


def test_runs_from_before_the_margin_keep_their_id():
    spec = spec_of("osrp", "lidar")
    plain = to_dict(spec)
    del plain["agent"]["planner"]["cost_margin"]
    old = from_dict(plain, type(spec.agent))
    assert old.run_id == spec.run_id
    assert old.agent.planner.cost_margin == 0.0
