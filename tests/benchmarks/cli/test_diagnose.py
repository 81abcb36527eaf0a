"""Diagnostics: findings match the data they are computed from."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import ImaginationConfig
from agents.safedreamer.open_loop import AtPosterior, OpenLoop, at_posterior, open_loop
from agents.safedreamer.tracking import untracked
from agents.settings import replaced
from baselines.mbpo.agent import MBPO
from baselines.mbpo.presets import agent_config
from benchmarks.cli import app
from benchmarks.cli.diagnose import (
    DiagnoseArgs,
    _default_out,
    by_heart,
    over_training,
    reliability,
    table,
)
from benchmarks.diagnosis import replayed
from benchmarks.diagnosis.calibration import calibration
from benchmarks.diagnosis.cost_history import cost_history, frozen_against_running
from benchmarks.diagnosis.diagnose import cut_windows, diagnose, plan_report, value_errors
from benchmarks.diagnosis.findings import NEW, Finding, write
from benchmarks.diagnosis.prediction_errors import prediction_errors, summed_errors
from benchmarks.envs import VectorEnv
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import METRICS_FILE, RECORDS_FILE
from benchmarks.training.evaluation import Traces, _join, play
from tests.agent_inputs import (
    HAZARDS,
    LIDAR,
    VECTOR,
    VISION,
    observations,
    replay_batch,
    tiny,
    window_rows,
)
from tests.analysis_runs import write_run
from tests.fakes.toys import toy_env

CONTEXT, LENGTH = 4, 7
rows = functools.partial(window_rows, VECTOR)


@pytest.fixture(scope="module")
def agent() -> SafeDreamer:
    return SafeDreamer(tiny("bsrp_lag"), VECTOR)


def changed(values: dict[str, np.ndarray], name: str, at: int) -> dict[str, np.ndarray]:
    array = values[name].copy()
    array[:, at] = -array[:, at] + 0.1
    return values | {name: array}


@pytest.mark.parametrize(
    "name, at, first_moved",
    [
        ("observation", CONTEXT - 1, 0),  # the last observed row
        ("observation", CONTEXT, None),  # the first row not observed
        ("action", CONTEXT - 2, 0),
        ("action", CONTEXT - 1, 1),
        ("action", CONTEXT, 2),
        ("action", LENGTH - 1, None),  # nothing follows it
    ],
)
def test_predictions_depend_on_seen_observations_and_on_actions_before_them(
    agent, name, at, first_moved
):
    params, window = agent.init(0).params, rows((5, LENGTH))
    predict = jax.jit(
        lambda rows: open_loop(agent.networks(params), rows, CONTEXT, jax.random.key(1)).obs[
            "observation"
        ]
    )
    before, after = np.asarray(predict(window)), np.asarray(predict(changed(window, name, at)))
    assert before.shape == (5, LENGTH - CONTEXT + 1, 9)
    moved = np.flatnonzero(np.abs(after - before).max((0, 2)) > 1e-5)
    assert (moved[0] if len(moved) else None) == first_moved


@pytest.mark.parametrize("context", [0, LENGTH])
def test_a_context_without_a_prediction_is_refused(agent, context):
    with pytest.raises(ValueError, match=r"must lie in 1\.\.6"):
        open_loop(
            agent.networks(agent.init(0).params), rows((1, LENGTH)), context, jax.random.key(0)
        )


def perfect(truth: dict[str, np.ndarray]) -> OpenLoop:
    reward, cost, tracked = (
        truth["reward"],
        truth["cost"],
        truth["observation"][..., HAZARDS].copy(),
    )
    return OpenLoop(
        {"observation": truth["observation"].copy()}, reward, cost, cost, reward, cost, tracked
    )  # pyright: ignore[reportArgumentType]


def by_name(findings: Any, predictor: str = "model") -> dict[tuple[str, int], float]:
    return {(f.quantity, f.steps_ahead): f.value for f in findings if f.predictor == predictor}


def test_a_perfect_model_has_no_errors():
    truth = rows((40, 3))
    found = by_name(prediction_errors(VECTOR, perfect(truth), truth))
    for k in range(3):
        assert (
            found["observation root mean square error", k]
            == found["hazards root mean square error", k]
            == 0.0
        )
        assert found["cost precision", k] == found["cost recall", k] == 1.0
        assert (
            found["cost predicted", k]
            == pytest.approx(found["cost true", k])
            == pytest.approx(truth["cost"][:, k].mean())
        )
        assert found["reward correlation", k] == pytest.approx(1.0)


def test_errors_by_hand():
    truth = rows((2, 1))
    # one hazard at 0.5 m, the others far
    truth["observation"][:, 0, HAZARDS] = [[0.3, 0.4, 5.0, 0.0], [0.0, 2.0, 0.0, -3.0]]
    truth["cost"] = np.array([[1.0], [0.0]], np.float32)
    said = perfect(truth)._replace(cost=np.array([[0.4], [0.6]]), reward=truth["reward"] + 0.25)
    said.obs["observation"][0, 0, HAZARDS] += [0.03, 0.04, 1.0, 0.0]
    said.hazards[0, 0] += [0.0, 0.2, 1.0, 0.0]
    found = by_name(prediction_errors(VECTOR, said, truth))
    assert found["hazards nearer than 0.6 m: error in metres", 0] == pytest.approx(0.05, rel=1e-4)
    assert found["tracked hazards nearer than 0.6 m: error in metres", 0] == pytest.approx(
        0.2, rel=1e-4
    )
    assert found["hazards root mean square error", 0] == pytest.approx(
        np.sqrt((0.0009 + 0.0016 + 1.0) / 8), rel=1e-4
    )
    assert found["cost precision", 0] == found["cost recall", 0] == 0.0
    assert found["cost predicted", 0] == found["cost true", 0] == pytest.approx(0.5)
    assert found["reward error (predicted - true)", 0] == pytest.approx(0.25)


def test_precision_and_recall_do_not_exist_without_costs():
    truth = rows((5, 2)) | {"cost": np.array([[0, 1.0]] * 5)}
    found = by_name(
        prediction_errors(VECTOR, perfect(truth)._replace(cost=np.zeros((5, 2))), truth)
    )
    assert np.isnan(found["cost precision", 0]) and np.isnan(found["cost recall", 0])
    assert np.isnan(found["cost precision", 1]) and found["cost recall", 1] == 0.0


def test_the_predictors_without_a_model_by_hand():
    truth = rows((2, 2))
    truth["observation"] = np.zeros((2, 2, 9), np.float32)
    truth["observation"][:, 1] = 3.0
    truth["observation"][:, :, HAZARDS] = np.array(
        [[[0.3, 0, 9, 9], [0.3, 0.4, 9, 9]], [[0, 0.1, 9, 9], [0, 0.5, 9, 9]]]
    )
    truth["reward"], truth["cost"] = (
        np.array([[0.0, 1.0], [2.0, 5.0]]),
        np.array([[1.0, 0.0], [0.0, 0.0]]),
    )
    found = list(prediction_errors(VECTOR, perfect(truth), truth))
    last, mean = by_name(found, "last seen"), by_name(found, "mean")
    assert last["reward root mean square error", 0] == 0.0
    # 1 - 0 and 5 - 2
    assert last["reward root mean square error", 1] == pytest.approx(np.sqrt((1 + 9) / 2))
    # 1 and 5 around a mean of 2
    assert mean["reward root mean square error", 1] == pytest.approx(np.sqrt((1 + 9) / 2))
    assert mean["reward root mean square error", 0] == pytest.approx(np.sqrt((4 + 0) / 2))
    # both near ones moved by 0.4 m since they were last observed
    for name in ("hazards", "tracked hazards"):
        assert last[f"{name} nearer than 0.6 m: error in metres", 1] == pytest.approx(0.4)
    # the last cost is predicted to go on, but none follows
    assert last["cost precision", 1] == 0.0 and np.isnan(last["cost recall", 1])
    assert ("cost precision", 1) not in mean


def test_image_errors_are_per_camera_and_in_0_to_1():
    truth = rows((2, 2)) | observations(VISION, (2, 2))
    truth["image"][:, 0], truth["image"][:, 1] = 51, 153  # 0.2 and 0.6
    said = {"image": np.full((2, 2, 64, 64, 3), 0.5), "image2": truth["image2"] / 255.0}
    found = list(
        prediction_errors(
            VISION, perfect(truth)._replace(obs=said, hazards=np.zeros((2, 2, 0))), truth
        )
    )
    model, last, mean = (by_name(found, name) for name in ("model", "last seen", "mean"))
    for k, errors in enumerate([(0.3, 0.0, 0.2), (0.1, 0.4, 0.2)]):
        got = [predictor["image root mean square error", k] for predictor in (model, last, mean)]
        np.testing.assert_allclose(got, errors, rtol=1e-6, atol=1e-12)
        assert model["image2 root mean square error", k] == pytest.approx(0.0, abs=1e-7)


def test_calibration_by_hand():
    # 0.25 three times, one of which costs; 0.95 and 1.0, both do: bins 2 and 9 with gaps of 1/12
    # and 0.025.
    said = np.array([0.25, 0.25, 0.25, 0.95, 1.0])[:, None].repeat(3, 1)
    cost = np.array([2.0, 0.0, 0.0, 1.0, 4.0])[:, None].repeat(3, 1)
    findings = list(calibration("cost probability", said, cost))
    table = {
        (f.quantity.split(": ")[1], f.bin_low): f.value
        for f in findings
        if f.steps_ahead == 1 and not np.isnan(f.bin_low)
    }
    expected = {
        ("steps in bin", 0.2): 3,
        ("mean prediction", 0.2): 0.25,
        ("observed frequency", 0.2): 1 / 3,
    }
    expected |= {
        ("steps in bin", 0.9): 2,
        ("mean prediction", 0.9): 0.975,
        ("observed frequency", 0.9): 1.0,
    }
    assert table == pytest.approx(expected)
    by_quantity = by_name(findings)
    assert by_quantity["cost probability: calibration error", 1] == pytest.approx(
        (3 / 12 + 2 * 0.025) / 5
    )
    brier = (0.75**2 + 2 * 0.25**2 + 0.05**2) / 5
    assert by_quantity["cost probability: Brier score", 1] == pytest.approx(brier)
    assert by_name(findings, "mean")["cost probability: Brier score", 1] == pytest.approx(0.6 * 0.4)
    assert by_name(findings, "last seen")["cost probability: Brier score", 1] == 0.0
    # of 0, 1, 5 and 15 steps ahead, those within three rows
    assert {f.steps_ahead for f in findings if not np.isnan(f.bin_low)} == {0, 1}


def test_intervals_of_frequencies_come_from_whole_episodes():
    """One of four episodes, each of 50 overlapping windows, has a cost at every step.

    50 equal windows of an episode count as one piece of evidence, not fifty.
    """
    said, cost = np.full((200, 1), 0.25), np.zeros((200, 1))
    cost[:50] = 1.0
    binned = {f.quantity: f.value for f in calibration("p", said, cost, 4) if f.bin_low == 0.2}
    assert binned["p: observed frequency"] == 0.25
    # An episode is drawn 0 to 4 times, with probability 1/4 in each of 4 draws: 0 times in 32 %, 3
    # or more in 5.1 %, all 4 in 0.4 % of resamples.
    assert (binned["p: frequency low"], binned["p: frequency high"]) == (0.0, 0.75)


def test_a_bin_of_few_episodes_has_no_interval():
    said = np.concatenate([np.full(100, 0.25), np.full(50, 0.85)])[
        :, None
    ]  # three episodes of 50, the last in a bin of its own
    found = [f for f in calibration("p", said, np.zeros((150, 1)), 3) if not np.isnan(f.bin_low)]
    assert {(f.quantity, f.bin_low) for f in found} == {
        (f"p: {name}", low)
        for name in ("steps in bin", "mean prediction", "observed frequency")
        for low in (0.2, 0.8)
    }


@pytest.mark.parametrize(
    ("sharpen", "error"), [(1.0, 0.0), (0.0, 0.25)], ids=["calibrated", "always sure"]
)
def test_calibration_of_a_known_predictor(sharpen, error):
    rng = np.random.default_rng(0)
    chance = rng.random((200_000, 1))
    cost = rng.random(chance.shape) < chance
    # a quarter of those above one half have no cost, and vice versa
    said = chance if sharpen else np.round(chance)
    (found,) = (
        f.value for f in calibration("p", said, cost) if f.quantity == "p: calibration error"
    )
    assert found == pytest.approx(error, abs=0.01)


def test_predicted_and_real_episode_costs_in_one_unit(tmp_path):
    """Episodes of 250 agent steps of 4 simulator steps.

    Costs of the head are scaled by agent steps, hazards counted once per agent step by simulator
    steps.
    """
    run = write_run(
        tmp_path,
        "bsrp_lag",
        train=[(1000, 0.0, 30.0), (2000, 0.0, 10.0), (5000, 0.0, 8.0)],
        evals=[(4000, 0, 6.0), (4000, 0, 2.0)],
    )
    lines = [{"env_steps": 2000, "train/imagined/cost": None}]
    lines += [
        {
            "env_steps": 6000,
            "train/imagined/cost": 0.02,
            "train/augmented/multiplier": 0.5,
            "train/model/cost_true": 0.1,
        }
    ]
    (run / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))

    def history(
        method: str, source: str, feasible_cost: str = "sum"
    ) -> dict[tuple[str, int], float]:
        changes = {"model.cost_source": source, "planner.feasible_cost": feasible_cost}
        agent = SafeDreamer(replaced(tiny(method), changes), VECTOR)
        return {
            (f.quantity.removeprefix("training: "), f.env_steps): f.value
            for f in cost_history(run, agent)
        }

    common = {("cost limit", -1): 2.0, ("episode cost", 2000): 20.0, ("episode cost", 6000): 8.0}
    common |= {
        ("evaluated episode cost", 4000): 4.0,
        ("multiplier", 6000): 0.5,
        ("replayed cost true", 6000): 25.0,
    }
    assert history("bsrp_lag", "head") == pytest.approx(
        common | {("imagined episode cost", 6000): 5.0}
    )
    assert history("bsrp_lag", "geometry") == pytest.approx(
        common | {("imagined episode cost", 6000): 20.0}
    )

    # As in the release, a planner of horizon 4 extrapolates a predicted step cost of 0.02 to
    # 0.08 * 1000 / 4 = 20.
    plans = {"act/plan/cost": 20.0, "act/plan/safe_fraction": 0.4, "act/plan/none_safe": 0.25}
    (run / METRICS_FILE).write_text(json.dumps({"env_steps": 6000} | plans) + "\n")
    for source, cost in (("head", 5.0), ("tracked", 20.0)):
        planned = history("osrp", source)
        assert planned["episode cost that plans promised", 6000] == pytest.approx(cost)
        # a plan's cost return is an episode cost already
        planned = history("osrp", source, "return")
        assert planned["episode cost that plans promised", 6000] == pytest.approx(20.0)
    assert (
        planned["share of safe plans", 6000] == 0.4
        and planned["share of decisions without any safe plan", 6000] == 0.25
    )


def test_the_history_of_a_learner_with_an_ensemble_has_costs_limit_and_multiplier(tmp_path):
    run = write_run(tmp_path, "mbpo_lag", train=[(1000, 0.0, 30.0)])
    (run / METRICS_FILE).write_text('{"env_steps": 2000, "train/multiplier": 0.25}\n')

    def history(method: str) -> dict[str, float]:
        agent = MBPO(agent_config(method, "debug"), LIDAR)
        return {f.quantity: f.value for f in cost_history(run, agent)}

    costs = {"training: episode cost": 30.0, "training: multiplier": 0.25}
    assert history("mbpo_lag") == costs | {"cost limit": 2.0}
    assert history("mbpo") == costs


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (b'{"env_steps": oops}', "line 2: it is not valid JSON"),
        (b"\xff", "line 2: it is not UTF-8 text"),
        (b'{"act/plan/cost": 1.0}', "line 2: it lacks env_steps"),
        (b'{"env_steps": "1"}', "line 2: env_steps is '1', which is not a whole number"),
        (b'{"env_steps": 1, "act/plan/cost": []}', "line 2: act/plan/cost is .*a number or null"),
        (b"[" * 10_000, "line 2: it is nested too deeply"),
    ],
)
def test_damaged_metrics_are_named(tmp_path, second, why):
    run = write_run(tmp_path, "bsrp_lag", train=[(1000, 0.0, 30.0)])
    (run / METRICS_FILE).write_bytes(b'{"env_steps": 1}\n' + second + b'\n{"env_steps": 2}\n')
    with pytest.raises(BadInput, match=rf"metrics\.jsonl is damaged \({why}"):
        cost_history(run, SafeDreamer(tiny("bsrp_lag"), VECTOR))


def test_damaged_and_missing_records_are_named(tmp_path):
    run, agent = write_run(tmp_path, "bsrp_lag", train=[(1000, 0.0, 30.0)]), tiny("bsrp_lag")
    file = run / RECORDS_FILE
    whole = cost_history(run, SafeDreamer(agent, VECTOR))
    file.write_text(f"{file.read_text()}bsrp_lag,cut o")
    assert cost_history(run, SafeDreamer(agent, VECTOR)) == whole
    file.write_text(f"{file.read_text()}ff\n")
    with pytest.raises(BadInput, match=r"episodes.csv is damaged \(line 3: 2 of 13 fields"):
        cost_history(run, SafeDreamer(agent, VECTOR))
    file.unlink()
    with pytest.raises(BadInput, match=r"has no episodes.csv"):
        cost_history(run, SafeDreamer(agent, VECTOR))


def test_a_row_of_metrics_that_a_crash_cut_short_is_left_out(tmp_path):
    run = write_run(tmp_path, "bsrp_lag", train=[(1000, 0.0, 30.0)])
    agent = SafeDreamer(tiny("bsrp_lag"), VECTOR)
    (run / METRICS_FILE).write_text('{"env_steps": 1000}\n')
    whole = cost_history(run, agent)
    (run / METRICS_FILE).write_text('{"env_steps": 1000}\n{"env_st')
    assert cost_history(run, agent) == whole != []


def test_no_diagnosis_overwrites_another():
    def name(**options: Any) -> str:
        return _default_out(DiagnoseArgs(Path("run"), **options), 500).name

    assert name() == "diagnosis-500.csv" and name(actions="random") == "diagnosis-500-random.csv"
    changes = [{"episodes": 2}, {"context": 2}, {"horizon": 2}, {"stride": 2}, {"stride": 3}]
    names = {
        name(**change, actions=actions) for change in changes for actions in ("agent", "random")
    }
    assert len(names) == 10 and "diagnosis-500-random-horizon2.csv" in names


def test_critics_against_what_followed_by_hand():
    # discounts 1/2 and 3/4
    imagination = ImaginationConfig(discount_horizon=2.0, cost_discount_horizon=4.0)
    agent = SafeDreamer(tiny("bsrp_lag", imagination=imagination), VECTOR)
    reward = np.array(
        [[9.0, 9.0, 1.0, 2.0, 4.0, 0.0, 0.0, 0.0], [9.0, 9.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0]]
    )
    cost = np.zeros_like(reward)
    cost[0, 3] = cost[1, 5] = 1.0
    # critics [reward, cost] of the two windows' last observed rows
    said = np.array([[[3.5], [0.5]], [[2.5], [0.5]]])
    predicted = perfect(rows((2, 1)))._replace(value=said[0], cost_value=said[1])
    # The last observed row of each window is row 1, and 8 - 2 * 2 rows have enough rows after them.
    found = by_name(value_errors(agent, predicted, {"reward": reward, "cost": cost}, np.array([1])))
    after = [1 + 2 / 2 + 4 / 4, 8 / 8], [3 / 4, (3 / 4) ** 3]
    assert found["reward that followed, discounted", -1] == pytest.approx(np.mean(after[0]))
    assert found["cost that followed, discounted", -1] == pytest.approx(np.mean(after[1]), rel=1e-6)
    assert (found["reward critic", -1], found["cost critic", -1]) == (2.0, 1.5)
    assert (
        found["reward critic correlation", -1]
        == found["cost critic correlation", -1]
        == pytest.approx(1.0)
    )


def test_windows_by_hand():
    windows = cut_windows({"reward": np.arange(14).reshape(2, 7)}, np.array([0, 2, 4]), 3)
    np.testing.assert_array_equal(
        windows["reward"], [[0, 1, 2], [2, 3, 4], [4, 5, 6], [7, 8, 9], [9, 10, 11], [11, 12, 13]]
    )


def test_the_plans_promise_and_what_followed():
    # 16 candidates, 4 elites, 4 steps; 250 agent steps an episode
    agent = SafeDreamer(tiny("osrp"), VECTOR)
    steps = 10
    cost = np.zeros((1, steps + 1))
    cost[0, 3] = 2.0
    safe = np.array([[0.0, 0.125, 0.25, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    found = by_name(
        plan_report(
            agent,
            Traces(
                {"cost": cost}, {"plan/safe_fraction": safe, "plan/cost": np.full((1, steps), 3.0)}
            ),
        )
    )
    assert found["share of decisions without any safe plan", -1] == 0.1
    assert found["share of decisions with fewer safe plans than elites", -1] == 0.2
    assert found["episode cost that plans promised", -1] == 3.0
    # Decisions 0 to 5 have a whole horizon after them; the cost is in the rows 1..4, 2..5 and 3..6
    # of three of them.
    assert found["episode cost at the rate that followed", -1] == pytest.approx(
        3 * 2.0 * 250 / 4 / 6
    )


@pytest.mark.slow
def test_more_episodes_than_environments_are_played_in_turns(monkeypatch):
    from benchmarks.envs import env_spec
    from benchmarks.training import evaluation as evaluate

    agent = SafeDreamer(tiny("bsrp_lag"), env_spec(toy_env()))
    state = agent.init(0)
    at_once = play(agent, state, toy_env, run_seed=0, episodes=3, key=jax.random.key(0))
    made = []
    monkeypatch.setattr(evaluate, "MAX_ENVS", 2)
    monkeypatch.setattr(
        evaluate, "VectorEnv", lambda *args: made.append(args[1]) or VectorEnv(*args)
    )
    turns = play(agent, state, toy_env, run_seed=0, episodes=3, key=jax.random.key(0))
    assert made == [2, 1]
    assert {k: v.shape for k, v in turns.rows.items()} == {
        k: v.shape for k, v in at_once.rows.items()
    }
    assert (
        {k: v.shape for k, v in turns.info.items()}
        == {k: v.shape for k, v in at_once.info.items()}
        != {}
    )
    # Keys differ between the two, layouts do not.
    np.testing.assert_array_equal(
        turns.rows["observation"][:, 0], at_once.rows["observation"][:, 0]
    )
    assert len(np.unique(turns.rows["observation"][:, 0], axis=0)) == 3


def test_turns_are_cut_to_the_shortest_episode():
    parts = [{"reward": np.full((2, 4), 1.0)}, {"reward": np.full((1, 3), 2.0)}]
    np.testing.assert_array_equal(_join(parts)["reward"], [[1, 1, 1], [1, 1, 1], [2, 2, 2]])
    assert _join([{}, {}]) == {}


@pytest.mark.slow
def test_whole_episodes_of_new_layouts_and_all_findings():
    from benchmarks.envs import env_spec

    env = env_spec(toy_env())
    agent = SafeDreamer(tiny("osrp_lag"), env)
    state = agent.init(0)
    traces = play(agent, state, toy_env, run_seed=0, episodes=3, key=jax.random.key(0))
    assert traces.rows["reward"].shape == (3, 11) and traces.info["plan/safe_fraction"].shape == (
        3,
        10,
    )
    assert (
        traces.rows["is_first"].sum(1).tolist() == [1, 1, 1] and traces.rows["is_last"][:, -1].all()
    )
    findings = diagnose(agent, state, traces, context=3, horizon=2, stride=2)
    assert {f.steps_ahead for f in findings} == {-1, 0, 1, 2}
    names = {f.quantity for f in findings}
    assert {
        "cost precision",
        "cost probability: calibration error",
        "share of safe plans",
        "reward critic",
    } <= names
    counts = [
        f.value for f in findings if f.quantity.endswith("steps in bin") and f.steps_ahead == 1
    ]
    assert sum(counts) == 3 * 4  # episodes, and windows of 5 rows from rows 0, 2, 4 and 6 of 11
    assert all(
        np.isfinite(f.value) and 0.0 <= f.value <= 1.0
        for f in findings
        if f.quantity.endswith("calibration error")
    )
    with pytest.raises(
        ValueError, match="episodes have 11 rows, fewer than a window of context 20"
    ):
        diagnose(agent, state, traces)


def test_random_actions_are_the_keys_and_leave_critics_and_plans_out():
    from benchmarks.envs import env_spec

    agent = SafeDreamer(tiny("osrp"), env_spec(toy_env()))
    state = agent.init(0)
    first, again = (
        play(agent, state, toy_env, run_seed=0, episodes=2, key=jax.random.key(0), random=True)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.rows["action"], again.rows["action"])
    # 1/2 if uniform in -1..1
    assert first.info == {} and 0.4 < np.abs(first.rows["action"][:, :-1]).mean() < 0.6
    names = {f.quantity for f in diagnose(agent, state, first, context=3, horizon=2)}
    assert "cost recall" in names and not {"reward critic", "share of safe plans"} & names


def test_printed_tables_hold_the_findings():
    found = [Finding("a root mean square error", k, 0.5 + k) for k in range(5)]
    for name, values in (("last seen", [0.0, 1.0, 2.5, 3.0, 4.0]), ("mean", [2.0] * 5)):
        found += [
            Finding("a root mean square error", k, value, name) for k, value in enumerate(values)
        ]
    found += [Finding("reward critic", -1, 7.0)]
    found += calibration(
        "cost probability",
        np.full((4, 5), 0.25),
        np.array([[1.0] * 5, [0.0] * 5, [0.0] * 5, [0.0] * 5]),
    )
    lines = [line.split() for line in table(found).splitlines()]
    assert lines[0][-4:] == ["0", "1", "2", "3"]  # four steps ahead is in the file only
    assert lines[1][-4:] == ["0.500", "1.500", "2.500", "3.500"]
    # the better of the two predictors
    assert lines[2] == ["without", "a", "model", "0.000", "1.000", "2.000", "2.000"]
    assert ["reward", "critic", "7.000"] in lines
    diverged = [Finding("error", k, 12.3456 * 100.0**k) for k in range(4)]
    assert table(diverged).splitlines()[1].endswith("  12.346 1.2e+03 1.2e+05 1.2e+07")
    assert "0.25 -> 0.25 (4)" in reliability(found)
    history = [Finding("training: multiplier", -1, 0.1 * k, env_steps=k) for k in range(1, 41)]
    history += [
        Finding("training: evaluated episode cost", -1, 3.0, env_steps=20),
        Finding("cost limit", -1, 2.0),
    ]
    steps, multiplier, evaluated = (line.split() for line in over_training(history).splitlines())
    assert steps[-8:] == ["5", "10", "15", "20", "25", "30", "35", "40"]
    assert multiplier[-8:] == ["0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]
    assert evaluated[-8:] == ["-", "-", "-", "3", "3", "3", "3", "3"]  # the latest value by then
    assert over_training([]) == "no history of training"
    assert "no cost probabilities" in reliability(found[:5])


# Replayed against new rows


def test_rows_at_the_posterior_by_hand(monkeypatch):
    """Two windows of two context rows and two evaluated rows.

    Errors, costs and their calibration cover the evaluated rows only.
    """
    agent = SafeDreamer(tiny("bsrp_lag"), VECTOR)
    windows = rows((2, 4))
    windows["cost"] = np.array([[9.0, 9.0, 2.0, 0.0], [9.0, 9.0, 1.0, 0.0]], np.float32)
    judged = {k: windows[k][:, 2:] for k in ("observation", "reward", "cost")}
    off = judged["observation"] + np.where(np.arange(9) == 4, 0.5, 0.0)
    said = np.array([[0.95, 0.25], [0.15, 0.25]])
    seen = AtPosterior(
        {"observation": off}, judged["reward"], np.array([[1.0, 0.0], [0.2, 0.0]]), said
    )  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(replayed, "_at_posterior", lambda *_: seen)
    findings = [f for f in replayed.of_rows(agent, None, windows, 2, NEW) if np.isnan(f.bin_low)]
    found = {f.quantity.removeprefix("at the posterior, new rows: "): f.value for f in findings}
    assert found["cost recall"] == 0.5 and found["cost precision"] == 1.0
    assert found["cost predicted"] == pytest.approx(0.3) and found["cost true"] == pytest.approx(
        0.75
    )
    # one of four values is off by 0.5
    assert found["hazards root mean square error"] == pytest.approx(0.25, rel=1e-4)
    assert found["reward root mean square error"] == 0.0
    assert found["cost probability, calibration error"] == pytest.approx(
        (0.05 + 0.85 + 2 * 0.25) / 4
    )
    assert found["cost probability, Brier score"] == pytest.approx(
        (0.05**2 + 0.85**2 + 2 * 0.25**2) / 4
    )


def test_rows_at_the_posterior_are_the_models():
    agent = SafeDreamer(tiny("bsrp_lag"), VECTOR)
    state, windows = (
        agent.init(0),
        {k: jnp.asarray(x) for k, x in replay_batch(VECTOR, batch=2, length=5).items()},
    )
    got = at_posterior(agent.networks(state.params), windows, 2, jax.random.key(3))
    model = agent.networks(state.params).model
    post, _ = model.rssm.observe(
        model.encoder(windows), windows["action"], windows["is_first"], jax.random.key(3)
    )
    np.testing.assert_allclose(got.cost, model.cost(untracked(post))[:, 2:], rtol=1e-4)
    np.testing.assert_allclose(
        got.obs["observation"], model.decoder(post.feat)["observation"][:, 2:], rtol=1e-4, atol=1e-5
    )


def test_frozen_against_running_costs(tmp_path):
    run = write_run(
        tmp_path, "bsrp_lag", train=[(1000 * k, 1.0 * k, 30.0 - k) for k in range(1, 23)]
    )
    traces = Traces(
        {
            "cost": np.array([[0.0, 4.0, 4.0], [0.0, 0.0, 0.0]]),
            "reward": np.array([[0.0, 1.0, 1.0], [0.0, 2.0, 2.0]]),
        },
        {},
    )
    found = {f.quantity: f.value for f in frozen_against_running(run, traces)}
    assert found == pytest.approx(
        {
            "episode cost: last 20 training episodes": 30.0 - 12.5,  # of episodes 3 to 22
            "episode cost: frozen, 2 new layouts": 4.0,
            "episode return: last 20 training episodes": 12.5,
            "episode return: frozen, 2 new layouts": 3.0,
            "share of new layouts with any cost": 0.5,
        }
    )


def test_replayed_and_new_rows_stand_side_by_side():
    found = [
        Finding("at the posterior, replayed rows: cost recall", -1, 0.875),
        Finding("at the posterior, new rows: cost recall", -1, 0.09),
    ]
    found += [
        Finding("at the posterior, new rows: cost probability, steps in bin", -1, 12.0, bin_low=0.9)
    ]
    _, recall, steps = (line.split() for line in by_heart(found).splitlines())
    assert recall[-2:] == ["0.875", "0.090"]
    assert (
        steps[-2:] == ["-", "12.000"]
        and " ".join(steps[:-2]) == "cost probability, steps in bin, said 0.9 to 1.0"
    )
    assert "recall" not in table(
        [Finding("reward correlation", 0, 0.5), *found]
    ) and "calibrated" in reliability(found)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_growth_of_summed_errors_is_that_of_a_known_bias(power: float):
    """Reward errors of k^(power - 1) at the k-th step add up to about k^power."""
    steps, true = np.arange(30), rows((4, 30))["reward"]
    off = true + np.where(steps > 0, steps ** (power - 1.0), 0.0)
    said = perfect(rows((4, 30)))._replace(reward=off)
    found = {f.quantity: f for f in summed_errors(said, rows((4, 30))) if f.steps_ahead == -1}
    assert found["summed reward: error grows with steps to the power"].value == pytest.approx(
        power, abs=0.2
    )
    assert "summed cost: error grows with steps to the power" not in found  # predicted exactly


def test_findings_are_written_into_a_folder_that_is_not_there_yet(tmp_path):
    write(tmp_path / "new" / "one.csv", [Finding("reward", 1, 0.5)], 400)
    assert (tmp_path / "new" / "one.csv").read_text().splitlines()[1].startswith("reward,")


@pytest.mark.slow
def test_a_run_with_an_ensemble_is_diagnosed_and_one_without_a_model_refused(tmp_path, capsys):
    toy = ("--task", "tests.fakes.toys:shore", "--preset", "debug", "--steps", "100")
    toy += ("--loop.env-workers", "inline", "--out")
    for method in ("dyna_lag", "sac_lag"):
        assert app.main(["train", "--method", method, *toy, str(tmp_path / method)]) == 0
    window = ("--episodes", "2", "--context", "3", "--horizon", "4")
    out = tmp_path / "new" / "dyna.csv"
    assert app.main(["diagnose", str(tmp_path / "dyna_lag"), *window, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "summed cost: error" in said and "frozen, 2 new layouts" in said
    assert "\nevaluated episode cost " in said and "at the posterior" not in said
    assert "no cost probabilities" in said and out.with_suffix(".png").stat().st_size > 5000
    assert {f"{k}" for k in range(5)} <= set(pd.read_csv(out, dtype=str)["steps_ahead"])
    assert app.main(["diagnose", str(tmp_path / "sac_lag"), *window]) == 2
    assert "sac_lag has no model that can be diagnosed" in capsys.readouterr().err
