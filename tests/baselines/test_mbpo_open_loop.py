"""Open-loop predictions of an ensemble equal its rollouts under given actions."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest

from agents.nn.distributions import symexp
from agents.nn.observations import vector_of
from baselines.mbpo.agent import MBPO
from baselines.mbpo.open_loop import open_loop
from baselines.mbpo.presets import agent_config
from benchmarks.diagnosis.diagnose import diagnose
from benchmarks.training.evaluation import Traces
from tests.agent_inputs import LIDAR, replay_batch

CONTEXT, AHEAD = 3, 4


@pytest.fixture(scope="module")
def agent() -> MBPO:
    return MBPO(agent_config("mbpo_lag", "debug"), LIDAR)


@pytest.mark.parametrize("method", ["mbpo_lag", "dyna_lag"])  # samples and means
def test_they_are_the_policys_rollouts_where_its_actions_are_given(method: str):
    agent = MBPO(agent_config(method, "debug"), LIDAR)
    learner, state, key = agent.learner, agent.init(0), jax.random.key(1)
    # Entries that never varied are not predicted; give all a standard deviation of 0.1.
    assert state.model is not None
    varied = jax.tree.map(np.ones_like, state.model.scales.targets)._replace(total=np.float32(100))
    scales = state.model.scales._replace(targets=varied)
    state = state._replace(model=state.model._replace(scales=scales))
    rows = replay_batch(LIDAR, 5, CONTEXT + AHEAD)
    names = learner.obs_names
    start = vector_of({k: rows[k][:, CONTEXT - 1] for k in names}, names)
    imagined = jax.jit(learner.imagine, static_argnums=3)(state, start, np.ones(5), AHEAD, key).data
    given = np.array(rows["action"])
    given[:, CONTEXT - 1 : -1] = np.swapaxes(imagined.action, 0, 1)
    predict = jax.jit(partial(open_loop, learner, context=CONTEXT))
    got = predict(state, rows | {"action": given}, key=key)
    obs = np.concatenate([got.obs[k] for k in names], -1)
    truth = np.concatenate([rows[k] for k in names], -1)
    assert obs.shape == (5, AHEAD + 1, learner.size)
    np.testing.assert_allclose(obs[:, 0], truth[:, CONTEXT - 1], rtol=1e-4, atol=1e-5)
    for ours, theirs in (
        (obs, symexp(imagined.z_next)),
        (got.reward, imagined.reward),
        (got.cost, imagined.cost),
    ):
        np.testing.assert_allclose(ours[:, 1:], np.swapaxes(theirs, 0, 1), rtol=1e-4, atol=1e-5)
    assert np.std(imagined.reward) > 0.01
    np.testing.assert_array_equal(got.reward[:, 0], rows["reward"][:, CONTEXT - 1])


@pytest.mark.parametrize("context", [0, CONTEXT])
def test_a_context_without_a_prediction_is_refused(agent: MBPO, context: int):
    with pytest.raises(ValueError, match=r"must lie in 1\.\.2"):
        open_loop(
            agent.learner, agent.init(0), replay_batch(LIDAR, 1, 3), context, jax.random.key(0)
        )


def test_a_method_without_a_model_is_refused():
    agent = MBPO(agent_config("sac_lag", "debug"), LIDAR)
    with pytest.raises(ValueError, match="no model"):
        open_loop(agent.learner, agent.init(0), replay_batch(LIDAR, 1, 3), 1, jax.random.key(0))


def test_a_diagnosis_has_errors_of_all_steps_and_how_fast_summed_ones_grow(agent: MBPO):
    traces = Traces(dict(replay_batch(LIDAR, 3, 12)), {})
    found = diagnose(agent, agent.init(0), traces, context=2, horizon=5, stride=2)
    at = {(f.quantity, f.steps_ahead, f.predictor): f.value for f in found}
    assert all(np.isfinite(at["reward root mean square error", k, "model"]) for k in range(6))
    single = at["reward root mean square error", 1, "model"]
    assert at["summed reward: error", 1, "model"] == pytest.approx(single)
    assert np.isfinite(at["summed reward: error grows with steps to the power", -1, "model"])
