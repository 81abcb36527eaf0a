"""SAC, MBPO, Dyna and MVE as agents: shapes, tracing, effects of the data paths, multiplier."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.settings import PIDConfig
from baselines.mbpo import learner as mbpo_learner
from baselines.mbpo.agent import MBPO
from baselines.mbpo.config import MBPOConfig
from baselines.mbpo.ensemble import outcomes_of
from baselines.mbpo.learner import AgentState
from baselines.mbpo.presets import METHODS, agent_config
from baselines.mbpo.rollouts import RolloutNoise, draw_noise
from tests.agent_inputs import LIDAR, VISION, acts_and_updates, copied, replay_batch, same

UPDATES = 7  # the ensemble of preset debug is first fitted after 5
LEARNT_BY_SAC = ("actor", "critic", "cost_critic", "log_temperature")


class Trained(NamedTuple):
    """An agent after UPDATES updates; ensembles before each and at the end, metrics of each."""

    agent: MBPO
    state: AgentState
    models: list[Any]
    metrics: list[dict[str, Any]]


def trained(config: MBPOConfig) -> Trained:
    agent = MBPO(config, LIDAR)
    state, models, metrics = agent.init(0), [], []
    for n in range(UPDATES):
        models.append(copied(state.params.model))
        batch = replay_batch(LIDAR, 4, 3, seed=n)
        state, found = agent.update(state, batch, jax.random.key(n))
        metrics.append(found)
    return Trained(agent, state, [*models, copied(state.params.model)], metrics)


@pytest.mark.parametrize(
    ("method", "preset"),
    [*((m, "debug") for m in ("sac_lag", "mbpo_lag", "dyna_lag", "mve_lag")), ("mve", "release")],
)
def test_every_method_and_preset_acts_and_updates(method: str, preset: str):
    agent = MBPO(agent_config(method, preset), LIDAR)
    state, _, _ = acts_and_updates(agent, replay_batch(LIDAR, 64, 2))
    assert (state.model is None) == (method == "sac_lag")
    assert (state.imagined is None) == (not method.startswith(("mbpo", "dyna")))


def test_methods_are_values_of_one_configuration():
    config = {name: agent_config(name, "release") for name in METHODS}
    assert [name for name in METHODS if config[name].constrained] == [
        name for name in METHODS if name.endswith("_lag")
    ]
    mbpo, dyna, mve = config["mbpo_lag"], config["dyna_lag"], config["mve_lag"]
    assert (mbpo.model.members, mbpo.model.elites, mbpo.model.layers, mbpo.model.units) == (
        7,
        5,
        4,
        200,
    )
    assert (mbpo.rollout.real_ratio, mbpo.model.fit) == (0.05, "converge")
    assert (dyna.rollout.longest, dyna.model.fit, dyna.rollout.capacity) == (
        1,
        "online",
        dyna.rollout.starts,
    )
    assert (mve.rollout.longest, mve.expansion.length, mve.expansion.td_k) == (0, 3, True)
    assert config["sac_lag"].sac == mbpo.sac
    assert not config["sac"].uses_model
    assert (mbpo.cost_limit, agent_config("mbpo_lag", "matched").cost_limit) == (25.0, 2.0)


@pytest.fixture(scope="module")
def sac_lag() -> Trained:
    return trained(agent_config("sac_lag", "debug"))


@pytest.fixture(scope="module")
def mbpo_lag() -> Trained:
    return trained(agent_config("mbpo_lag", "debug"))


def without_data_paths(method: str) -> MBPOConfig:
    config = agent_config(method, "debug")
    none = dataclasses.replace(config.rollout, length_first=0, length_last=0)
    return dataclasses.replace(
        config, rollout=none, expansion=dataclasses.replace(config.expansion, length=0)
    )


def test_rollouts_of_length_0_and_h_0_are_the_programs_of_sac_lag(sac_lag):
    """The same initial state and the same updates, bit for bit."""

    def programs(agent: MBPO) -> list[str]:
        state, key = jax.eval_shape(agent.init, 0), jax.random.key(0)
        update = agent._update.lower(state, replay_batch(LIDAR, 4, 3), key)
        return [agent._init.lower(key).as_text(), update.as_text()]

    expected = programs(sac_lag.agent)
    for method in ("mbpo_lag", "dyna_lag", "mve_lag"):
        assert programs(MBPO(without_data_paths(method), LIDAR)) == expected, method


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mbpo_lag", "mve_lag"])
def test_while_the_model_warms_up_the_updates_are_those_of_sac_lag(method: str, sac_lag):
    """The model already learns during the warm-up."""
    config = agent_config(method, "debug")
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, warmup=100))
    found = trained(config)
    for name in LEARNT_BY_SAC:
        for a, b in zip(
            jax.tree.leaves(getattr(found.state.params, name)),
            jax.tree.leaves(getattr(sac_lag.state.params, name)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert not same(found.models[0], found.models[-1])


@pytest.mark.slow
def test_updates_trace_once_and_imagined_data_change_what_sac_learns(sac_lag, mbpo_lag):
    for found in (sac_lag, mbpo_lag):
        assert found.agent._update._cache_size() == 1
        assert sum(int(metrics["nonfinite"]) for metrics in found.metrics) == 0
    state = mbpo_lag.state
    # 3 starts an update after a warm-up of 5 updates; some rows of noise have no successor.
    assert 0 < int(state.imagined.size) <= 12
    assert not same(state.params.critic, sac_lag.state.params.critic)
    assert int(state.model.window.size) > int(state.model.holdout.size) > 0


@pytest.mark.slow
def test_the_observed_range_bounds_what_is_imagined_and_is_kept_only_where_asked_for():
    config = agent_config("dyna_lag", "debug")
    model = dataclasses.replace(config.model, within_range=True, warmup=1)
    state = trained(dataclasses.replace(config, model=model)).state
    assert state.imagined is not None and state.model is not None
    low, high = state.model.scales.outcomes
    found = outcomes_of(state.imagined.rows)[: int(state.imagined.size)]
    assert len(found) and np.all((found >= low) & (found <= high))
    # checkpoints from before the setting existed have no range
    plain = jax.eval_shape(MBPO(config, LIDAR).init, 0)
    assert plain.model is not None and plain.model.scales.outcomes is None


def test_without_sampling_what_is_imagined_does_not_depend_on_noise(mbpo_lag, monkeypatch):
    means = dataclasses.replace(mbpo_lag.agent.config.model, sampled=False)
    config = dataclasses.replace(mbpo_lag.agent.config, model=means)
    start, alive, key = (
        jnp.ones((5, LIDAR.obs["observation"].shape[0])),
        jnp.ones(5),
        jax.random.key(0),
    )

    def imagined(of: MBPOConfig, loudness: float) -> Any:
        def noise(*args: Any) -> RolloutNoise:
            drawn = draw_noise(*args)
            return drawn._replace(state=loudness * drawn.state)

        monkeypatch.setattr(mbpo_learner, "draw_noise", noise)
        return MBPO(of, LIDAR).learner.imagine(mbpo_lag.state, start, alive, 2, key)

    assert same(imagined(config, 1.0), imagined(config, 9.0))
    sampled = mbpo_lag.agent.config
    assert not same(imagined(sampled, 1.0), imagined(sampled, 9.0))
    assert same(imagined(sampled, 0.0), imagined(config, 1.0))


def test_a_fit_is_due_every_so_many_updates_and_changes_the_ensemble_alone_then(mbpo_lag):
    epochs = [int(metrics["model/epochs"]) for metrics in mbpo_lag.metrics]
    assert [n + 1 for n, count in enumerate(epochs) if count] == [5]
    assert 1 <= max(epochs) <= mbpo_lag.agent.config.model.max_epochs
    for n, count in enumerate(epochs):
        assert same(mbpo_lag.models[n], mbpo_lag.models[n + 1]) == (count == 0)
    errors = np.asarray(mbpo_lag.state.model.error)
    assert errors.min() > 0.0 and len(np.unique(errors)) == 3


# Multiplier


def test_costs_of_training_episodes_move_the_multiplier_once_learning_has_begun(sac_lag):
    agent, state = sac_lag.agent, sac_lag.state
    learner = agent.learner
    unlearnt = state._replace(updates=jnp.int32(0))
    assert float(learner.end_episode(unlearnt, 100.0, 10).multiplier) == float(state.multiplier)
    above, below = (learner.end_episode(state, cost, 10) for cost in (100.0, 0.0))
    assert float(above.multiplier) > float(state.multiplier) > float(below.multiplier) > 0.0
    # d log(multiplier) = learning_rate (cost - limit) for a small multiplier
    grown = np.log(float(above.multiplier) / float(state.multiplier))
    rate = agent.config.multiplier.learning_rate
    assert grown == pytest.approx(rate * (100.0 - 2.0), rel=0.02)
    bounded = dataclasses.replace(agent.config.multiplier, max_excess=10.0)
    learner = MBPO(dataclasses.replace(agent.config, multiplier=bounded), LIDAR).learner
    costs = (100.0, 12.0, 0.0)
    most, as_much, less = (float(learner.end_episode(state, c, 10).multiplier) for c in costs)
    assert most == as_much < float(above.multiplier)
    assert less == float(below.multiplier)


def test_a_pid_controller_may_move_it_instead():
    pid = PIDConfig(kp=0.1, ki=0.0, kd=0.0, proportional_ema=0.0, cost_ema=0.0, start_agent_steps=0)
    pid = dataclasses.replace(pid, max_multiplier=50.0, integral_init=0.0)
    config = dataclasses.replace(agent_config("sac_lag", "debug"), dual="pid", pid=pid)
    learner = MBPO(config, LIDAR).learner
    state = jax.jit(learner.init)(jax.random.key(0))
    assert float(state.multiplier) == 0.0
    assert float(learner.end_episode(state, 12.0, 10).multiplier) == 0.0  # no update yet
    begun = state._replace(updates=jnp.int32(1))
    # 0.1 * (12 - 2) = 1
    assert float(learner.end_episode(begun, 12.0, 10).multiplier) == pytest.approx(1.0)


def test_every_cost_critic_learns():
    config = agent_config("sac_lag", "debug")
    sac = dataclasses.replace(config.sac, cost_critics=2)
    agent, state, *_ = trained(dataclasses.replace(config, sac=sac))
    new, old = state.params.cost_critic, agent.init(0).params.cost_critic
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), new, old)
    assert all(jax.tree.leaves(moved))


def test_without_a_constraint_costs_are_predicted_and_have_no_effect():
    agent = MBPO(agent_config("sac", "debug"), LIDAR)
    batch = replay_batch(LIDAR, 4, 3)
    free, costly = (
        agent.update(agent.init(0), batch | {"cost": cost}, jax.random.key(0))[0]
        for cost in (np.zeros_like(batch["cost"]), np.ones_like(batch["cost"]))
    )
    assert all(
        same(getattr(free.params, name), getattr(costly.params, name))
        for name in ("actor", "critic", "log_temperature")
    )
    assert not same(free.params.cost_critic, costly.params.cost_critic)
    assert float(agent.end_episode(costly, 100.0, 10).multiplier) == 0.0


# Rejected inputs


def test_pictures_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="predicts the next observation itself"):
        MBPO(agent_config("mbpo_lag", "debug"), VISION)


def test_more_rollouts_than_transitions_name_the_setting(mbpo_lag):
    agent, state = mbpo_lag.agent, mbpo_lag.state
    with pytest.raises(ValueError, match=r"rollout\.starts=3"):
        jax.eval_shape(agent.learner.update, state, replay_batch(LIDAR, 1, 2), jax.random.key(0))
