"""Prediction errors of a stress test: on the rows of its episodes, and of the model that acted."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from agents.safedreamer.agent import SafeDreamer
from benchmarks.diagnosis.diagnose import predict
from benchmarks.diagnosis.findings import Finding
from benchmarks.diagnosis.prediction_errors import prediction_errors
from benchmarks.envs import Step
from benchmarks.runs.reading import DamagedFile
from benchmarks.stress import errors
from benchmarks.stress.errors import CONTEXT, HORIZON, ErrorRow, Errors
from benchmarks.stress.perturbation import Acting, acting
from benchmarks.stress.records import Key
from benchmarks.stress.registry import PERTURBATIONS
from benchmarks.training.traces import Recorder
from tests.agent_inputs import LIDAR, VECTOR, tiny, window_rows

LENGTH = CONTEXT + HORIZON
A_POLICY: Any = None  # perturbations of the model do not use it


def steps_of(lengths: dict[int, int], envs: int) -> list[Step]:
    """Steps of environments that play episodes i, i + envs, ... of these lengths in rows; an
    observation is [episode, row].
    """
    rows: list[list[tuple[int, int, bool]]] = [[] for _ in range(envs)]
    for episode, length in sorted(lengths.items()):
        rows[episode % envs] += [(episode, t, t == length - 1) for t in range(length)]
    steps = []
    for at in range(max(map(len, rows))):
        now = [row[min(at, len(row) - 1)] for row in rows]
        seen = np.array([[episode, t] for episode, t, _ in now], np.float32)
        episode, t = seen.T
        last, zeros = np.array([end for *_, end in now]), np.zeros(envs, np.float32)
        steps.append(
            Step(
                obs={"observation": seen}, reward=10 * episode + t, cost=zeros, is_first=t == 0,
                is_last=last, is_terminal=last, env_steps=np.ones(envs, np.int64),
                episode=episode.astype(np.int64), lost=np.zeros(envs, bool),
            )
        )  # fmt: skip
    return steps


def test_windows_are_of_one_episode():
    visited = Recorder(4)
    for count, step in enumerate(steps_of({0: 70, 1: 40, 2: 5, 3: LENGTH}, envs=2)):
        visited.add(step, np.full((2, 1), count, np.float32), {})
    windows = errors.windows_of(visited.traces())
    starts = [*((0, t) for t in range(0, 36, 5)), (1, 0), (1, 5), (3, 0)]  # episode, first row
    assert "env_steps" not in windows
    assert windows["observation"].shape == (11, LENGTH, 2)
    for window, rewards, (episode, first) in zip(
        windows["observation"], windows["reward"], starts, strict=True
    ):
        assert (window[:, 0] == episode).all()
        np.testing.assert_array_equal(window[:, 1], first + np.arange(LENGTH))
        np.testing.assert_array_equal(rewards, 10 * episode + window[:, 1])
    np.testing.assert_array_equal(windows["action"][1, :, 0], 5 + np.arange(LENGTH))
    # episode 3 begins in the row after the 40 of episode 1, in the same environment
    np.testing.assert_array_equal(windows["action"][10, :-1, 0], 40 + np.arange(LENGTH - 1))
    assert errors.windows_of(visited.traces()[2:3]) == {}
    assert errors.prediction_errors(A_POLICY, {}, A_POLICY) == ()


def test_errors_are_relative_to_those_of_the_mean():
    def found(of_model: float, of_mean: float, name: str) -> list[Finding]:
        quantity = f"{name} root mean square error"
        return [Finding(quantity, 15, of_model), Finding(quantity, 15, of_mean, "mean")]

    table = found(9.0, 9.0, "observation") + found(1.0, 2.0, "hazards") + found(3.0, 2.0, "speed")
    table += found(1.0, 0.0, "still") + found(0.5, 0.0, "reward") + found(0.25, 1.0, "cost")
    table += [Finding("cost predicted", 15, 0.125), Finding("cost true", 15, 0.5)]
    table += [f._replace(steps_ahead=1, value=99.0) for f in table]
    layout = {"hazards": slice(0, 2), "speed": slice(2, 3), "still": slice(3, 4)}
    got = errors.summary(dataclasses.replace(VECTOR, layout=layout), table, 15, 8)
    assert got[:3] == (8, 15, pytest.approx((1 / 2 + 3 / 2) / 2))
    assert np.isnan(got.reward) and got[4:] == (0.25, 0.125, 0.5)
    whole = errors.summary(dataclasses.replace(VECTOR, layout={}), table, 15, 8)
    assert whole.observation == 1.0


@pytest.mark.slow
def test_errors_are_those_of_the_model_that_acted():
    agent = SafeDreamer(tiny("osrp", "lidar"), LIDAR)
    it, key = Acting(agent, agent.init(0)), jax.random.key(0)
    windows = window_rows(LIDAR, (6, LENGTH))
    near, far = errors.prediction_errors(it, windows, key)
    assert (near.steps_ahead, far.steps_ahead, near.windows) == (1, 15, 6)
    # as `safedreamer diagnose` finds them in these windows
    truth = {name: values[:, CONTEXT - 1 :] for name, values in windows.items()}
    report = {
        (f.quantity, f.predictor, f.steps_ahead): f.value
        for f in prediction_errors(LIDAR, predict(agent, it.state, windows, CONTEXT, key), truth)
    }
    quantity = "observation root mean square error"
    for mine in (near, far):
        of = [report[quantity, who, mine.steps_ahead] for who in ("model", "mean")]
        assert mine.observation == pytest.approx(of[0] / of[1])
        assert mine.cost_true == truth["cost"][:, mine.steps_ahead].mean()
        assert mine.cost == report["cost root mean square error", "model", mine.steps_ahead]
    # only predicted costs are halved; noise changes predictions, not the true values
    biased = acting(PERTURBATIONS["cost_bias"], A_POLICY, it, 0.5)
    for half, mine in zip(errors.prediction_errors(biased, windows, key), (near, far)):
        assert half.observation == mine.observation and half.reward == mine.reward
        assert half.cost_predicted == pytest.approx(0.5 * mine.cost_predicted, rel=1e-5)
        assert half.cost != mine.cost
    noisy = acting(PERTURBATIONS["dynamics_noise"], A_POLICY, it, 1.0)
    for rough, mine in zip(errors.prediction_errors(noisy, windows, key), (near, far)):
        assert rough.observation != mine.observation and rough.cost_true == mine.cost_true


def test_files_hold_what_was_written_and_damage_is_named(tmp_path):
    file, nan = tmp_path / "prediction_errors.csv", float("nan")
    of = [Errors(8, steps, 0.5, nan, 0.25, 0.1, 0.3) for steps in (1, 15)]
    written = [ErrorRow(Key("a", "osrp [x, y]", "T", "mass", 0.5), each) for each in of]
    errors.write(file, written)
    assert repr(errors.read(file)) == repr(written)
    assert errors.read(tmp_path / "none.csv") == []
    file.write_text(file.read_text() + "a,osrp,T,mass,1\n")
    with pytest.raises(DamagedFile, match="line 4"):
        errors.read(file)
    file.write_text("a,b\n")
    with pytest.raises(DamagedFile, match="line 1: no prediction errors of a stress test"):
        errors.read(file)


def test_who_has_no_model_to_compare_has_no_errors():
    assert not errors.measurable(Acting(object(), None))  # pyright: ignore[reportArgumentType]
