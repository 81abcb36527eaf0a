"""Diagnostics: what they are shown is what they report."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import ImaginationConfig
from agents.safedreamer.open_loop import OpenLoop, open_loop
from benchmarks.diagnose import cut_windows, diagnose, open_loop_errors, plan_report, value_errors
from benchmarks.envs import VectorEnv
from benchmarks.evaluate import Traces, _join, play
from tests.agent_inputs import HAZARDS, VECTOR, observations, tiny
from tests.toys import toy_env

CONTEXT, LENGTH = 4, 7


@pytest.fixture(scope="module")
def agent() -> SafeDreamer:
    return SafeDreamer(tiny("bsrp_lag"), VECTOR)


def rows(lead: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = np.zeros(lead, bool)
    first[:, 0] = True
    return observations(VECTOR, lead, seed) | {
        "action": rng.uniform(-1, 1, (*lead, 2)).astype(np.float32),
        "reward": rng.normal(size=lead).astype(np.float32),
        "cost": (rng.random(lead) < 0.3).astype(np.float32),
        "is_first": first,
    }


def changed(values: dict[str, np.ndarray], name: str, at: int) -> dict[str, np.ndarray]:
    array = values[name].copy()
    array[:, at] = -array[:, at] + 0.1
    return values | {name: array}


@pytest.mark.parametrize(
    "name, at, first_moved",
    [
        ("observation", CONTEXT - 1, 0),  # the last that is seen
        ("observation", CONTEXT, None),  # the first that is not
        ("action", CONTEXT - 2, 0),
        ("action", CONTEXT - 1, 1),
        ("action", CONTEXT, 2),
        ("action", LENGTH - 1, None),  # nothing follows it
    ],
)
def test_predictions_depend_on_seen_observations_and_on_actions_before_them(agent, name, at, first_moved):
    params, window = agent.init(0).params, rows((5, LENGTH))
    predict = jax.jit(lambda rows: open_loop(agent.networks(params), rows, CONTEXT, jax.random.key(1)).obs["observation"])
    before, after = np.asarray(predict(window)), np.asarray(predict(changed(window, name, at)))
    assert before.shape == (5, LENGTH - CONTEXT + 1, 9)
    moved = np.flatnonzero(np.abs(after - before).max((0, 2)) > 1e-5)
    assert (moved[0] if len(moved) else None) == first_moved


@pytest.mark.parametrize("context", [0, LENGTH])
def test_a_context_without_a_prediction_is_refused(agent, context):
    with pytest.raises(ValueError, match=r"must lie in 1\.\.6"):
        open_loop(agent.networks(agent.init(0).params), rows((1, LENGTH)), context, jax.random.key(0))


def perfect(truth: dict[str, np.ndarray]) -> OpenLoop:
    reward, cost, tracked = truth["reward"], truth["cost"], truth["observation"][..., HAZARDS].copy()
    return OpenLoop({"observation": truth["observation"].copy()}, reward, cost, reward, cost, tracked)  # pyright: ignore[reportArgumentType]


def by_name(findings: Any) -> dict[tuple[str, int], float]:
    return {(f.quantity, f.steps_ahead): f.value for f in findings}


def test_a_perfect_model_has_no_errors():
    truth = rows((40, 3))
    found = by_name(open_loop_errors(VECTOR, perfect(truth), truth))
    for k in range(3):
        assert found["observation root mean square error", k] == found["hazards root mean square error", k] == 0.0
        assert found["cost precision", k] == found["cost recall", k] == 1.0
        assert found["cost predicted", k] == found["cost true", k] == pytest.approx(truth["cost"][:, k].mean())
        assert found["reward correlation", k] == pytest.approx(1.0)


def test_errors_by_hand():
    truth = rows((2, 1))
    truth["observation"][:, 0, HAZARDS] = [[0.3, 0.4, 5.0, 0.0], [0.0, 2.0, 0.0, -3.0]]  # one hazard at 0.5 m, the others far
    truth["cost"] = np.array([[1.0], [0.0]], np.float32)
    said = perfect(truth)._replace(cost=np.array([[0.4], [0.6]]), reward=truth["reward"] + 0.25)
    said.obs["observation"][0, 0, HAZARDS] += [0.03, 0.04, 1.0, 0.0]
    said.hazards[0, 0] += [0.0, 0.2, 1.0, 0.0]
    found = by_name(open_loop_errors(VECTOR, said, truth))
    assert found["hazards nearer than 0.6 m: error in metres", 0] == pytest.approx(0.05, rel=1e-4)
    assert found["tracked hazards nearer than 0.6 m: error in metres", 0] == pytest.approx(0.2, rel=1e-4)
    assert found["hazards root mean square error", 0] == pytest.approx(np.sqrt((0.0009 + 0.0016 + 1.0) / 8), rel=1e-4)
    assert found["cost precision", 0] == found["cost recall", 0] == 0.0
    assert found["cost predicted", 0] == found["cost true", 0] == pytest.approx(0.5)
    assert found["reward error (predicted - true)", 0] == pytest.approx(0.25)


def test_critics_against_what_followed_by_hand():
    imagination = ImaginationConfig(discount_horizon=2.0, cost_discount_horizon=4.0)  # discounts 1/2 and 3/4
    agent = SafeDreamer(tiny("bsrp_lag", imagination=imagination), VECTOR)
    reward = np.array([[9.0, 9.0, 1.0, 2.0, 4.0, 0.0, 0.0, 0.0], [9.0, 9.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0]])
    cost = np.zeros_like(reward)
    cost[0, 3] = cost[1, 5] = 1.0
    said = np.array([[[3.5], [0.5]], [[2.5], [0.5]]])  # critics [reward, cost] of the two windows' last observed rows
    predicted = perfect(rows((2, 1)))._replace(value=said[0], cost_value=said[1])
    # Windows of 6 rows of which 2 are seen: the last seen one is row 1, and 8 - 2 * 2 rows have enough after them.
    found = by_name(value_errors(agent, predicted, {"reward": reward, "cost": cost}, context=2, length=6))
    after = [1 + 2 / 2 + 4 / 4, 8 / 8], [3 / 4, (3 / 4) ** 3]
    assert found["reward that followed, discounted", -1] == pytest.approx(np.mean(after[0]))
    assert found["cost that followed, discounted", -1] == pytest.approx(np.mean(after[1]), rel=1e-6)
    assert (found["reward critic", -1], found["cost critic", -1]) == (2.0, 1.5)
    assert found["reward critic correlation", -1] == found["cost critic correlation", -1] == pytest.approx(1.0)


def test_windows_by_hand():
    windows = cut_windows({"reward": np.arange(14).reshape(2, 7)}, 3)
    np.testing.assert_array_equal(windows["reward"], [[0, 1, 2], [3, 4, 5], [7, 8, 9], [10, 11, 12]])


def test_the_plans_promise_and_what_followed():
    agent = SafeDreamer(tiny("osrp"), VECTOR)  # 16 candidates, 4 elites, 4 steps; 250 agent steps an episode
    steps = 10
    cost = np.zeros((1, steps + 1))
    cost[0, 3] = 2.0
    safe = np.array([[0.0, 0.125, 0.25, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    found = by_name(
        plan_report(agent, Traces({"cost": cost}, {"plan/safe_fraction": safe, "plan/cost": np.full((1, steps), 3.0)}))
    )
    assert found["share of decisions without any safe plan", -1] == 0.1
    assert found["share of decisions with fewer safe plans than elites", -1] == 0.2
    assert found["episode cost that plans promised", -1] == 3.0
    # Decisions 0 to 5 have a whole horizon after them; rows 1..4, 2..5 and 3..6 hold the cost, so three of them see it.
    assert found["episode cost at the rate that followed", -1] == pytest.approx(3 * 2.0 * 250 / 4 / 6)


def test_more_episodes_than_environments_are_played_in_turns(monkeypatch):
    from benchmarks import evaluate
    from benchmarks.envs import env_spec

    agent = SafeDreamer(tiny("bsrp_lag"), env_spec(toy_env()))
    state = agent.init(0)
    at_once = play(agent, state, toy_env, run_seed=0, episodes=3, key=jax.random.key(0))
    made = []
    monkeypatch.setattr(evaluate, "MAX_ENVS", 2)
    monkeypatch.setattr(evaluate, "VectorEnv", lambda *args: made.append(args[1]) or VectorEnv(*args))
    turns = play(agent, state, toy_env, run_seed=0, episodes=3, key=jax.random.key(0))
    assert made == [2, 1]
    assert {k: v.shape for k, v in turns.rows.items()} == {k: v.shape for k, v in at_once.rows.items()}
    assert {k: v.shape for k, v in turns.info.items()} == {k: v.shape for k, v in at_once.info.items()} != {}
    # Keys differ between the two, layouts do not.
    np.testing.assert_array_equal(turns.rows["observation"][:, 0], at_once.rows["observation"][:, 0])
    assert len(np.unique(turns.rows["observation"][:, 0], axis=0)) == 3


def test_turns_are_cut_to_the_shortest_episode():
    parts = [{"reward": np.full((2, 4), 1.0)}, {"reward": np.full((1, 3), 2.0)}]
    np.testing.assert_array_equal(_join(parts)["reward"], [[1, 1, 1], [1, 1, 1], [2, 2, 2]])
    assert _join([{}, {}]) == {}


def test_whole_episodes_of_new_layouts_and_all_findings():
    from benchmarks.envs import env_spec

    env = env_spec(toy_env())
    agent = SafeDreamer(tiny("osrp_lag"), env)
    state = agent.init(0)
    traces = play(agent, state, toy_env, run_seed=0, episodes=3, key=jax.random.key(0))
    assert traces.rows["reward"].shape == (3, 11) and traces.info["plan/safe_fraction"].shape == (3, 10)
    assert traces.rows["is_first"].sum(1).tolist() == [1, 1, 1] and traces.rows["is_last"][:, -1].all()
    findings = diagnose(agent, state, traces, context=3, horizon=2)
    assert {f.steps_ahead for f in findings} == {-1, 0, 1, 2}
    assert {"cost precision", "share of safe plans", "reward critic"} <= {f.quantity for f in findings}
    with pytest.raises(ValueError, match="episodes have 11 rows, fewer than a window of context 20"):
        diagnose(agent, state, traces)
