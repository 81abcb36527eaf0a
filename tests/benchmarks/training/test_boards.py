"""TensorBoard, Weights & Biases and MLflow.

What they receive, and that nothing is sent unless requested.
"""

from __future__ import annotations

import math
import sys
import types
from datetime import datetime

import pytest
import tensorboardX

from benchmarks.runs.errors import BadInput
from benchmarks.runs.status import read_status
from benchmarks.training.boards import boards
from benchmarks.training.loop import Options, train
from benchmarks.training.progress import Lines, Snapshot, describe, describe_evaluation
from tests.fakes.toys import ToyAgent, toy_env, toy_spec


class FakeRun:
    def __init__(self, **settings):
        self.settings, self.rows, self.metrics, self.finished = settings, [], [], False

    def define_metric(self, name, step_metric):
        self.metrics.append((name, step_metric))

    def log(self, row):
        self.rows.append(row)

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    module = types.ModuleType("wandb")
    module.runs = []
    module.init = lambda **settings: module.runs.append(FakeRun(**settings)) or module.runs[-1]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_weights_and_biases_gets_metrics_returns_and_costs_against_simulator_steps(tmp_path, wandb):
    train(toy_spec(), tmp_path / "run", toy_env, ToyAgent, Options(wandb="safety"))
    (run,) = wandb.runs
    assert (
        run.settings["project"] == "safety" and run.settings["resume"] == "allow" and run.finished
    )
    assert (
        run.settings["id"] == f"{toy_spec().run_id}-run"
        and run.settings["config"]["method"] == "toy"
    )
    assert run.metrics == [("*", "env_steps")]
    names = {name for row in run.rows for name in row}
    assert {"train/return", "train/cost", "eval/return", "eval/cost", "train/toy/loss"} <= names
    assert all(0 < row["env_steps"] <= 600 for row in run.rows)


class FakeMLflow(types.ModuleType):
    """An MLflow whose runs are dicts."""

    def __init__(self):
        super().__init__("mlflow")
        self.runs, self.active, self.experiment = [], None, ""

    def set_experiment(self, name):
        self.experiment = name

    def search_runs(self, experiment_names, filter_string, output_format):
        assert experiment_names == [self.experiment] and output_format == "list"
        tag, value = filter_string.removeprefix("tags.`").removesuffix("'").split("` = '")
        return [
            types.SimpleNamespace(info=types.SimpleNamespace(run_id=number))
            for number, run in enumerate(self.runs)
            if run["tags"].get(tag) == value
        ]

    def start_run(self, run_id=None, run_name=None, tags=None):
        if run_id is None:
            self.runs.append({"name": run_name, "tags": tags, "params": {}, "rows": []})
        self.active = self.runs[-1 if run_id is None else run_id]

    def log_params(self, params):
        self.active["params"] |= params

    def log_metrics(self, values, step):
        self.active["rows"].append((step, values))

    def end_run(self):
        self.active = None


def test_mlflow_gets_the_same_and_a_resumed_run_goes_on_there(tmp_path, monkeypatch):
    mlflow = FakeMLflow()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    for steps in (300, 600):
        train(toy_spec(steps=steps), tmp_path / "run", toy_env, ToyAgent, Options(mlflow="safety"))
    (run,) = mlflow.runs
    assert mlflow.experiment == "safety" and mlflow.active is None
    assert run["name"] == "toy-tests.fakes.toys:shore-default-seed0"
    assert run["params"]["loop.num_envs"] == 3
    names = {name for _, values in run["rows"] for name in values}
    assert {"train/return", "train/cost", "eval/return", "eval/cost", "train/toy/loss"} <= names
    assert [step for step, values in run["rows"] if "eval/return" in values] == [204, 300, 402, 600]
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(BadInput, match="pip install mlflow"):
        boards(toy_spec(), tmp_path, Options(mlflow="safety"))


def test_without_the_package_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BadInput, match="pip install wandb"):
        boards(toy_spec(), tmp_path, Options(wandb="safety"))


def test_nobody_is_told_without_being_asked(tmp_path, wandb):
    train(toy_spec(steps=120), tmp_path, toy_env, ToyAgent)
    assert not wandb.runs and not (tmp_path / "tensorboard").exists()


def test_tensorboard_gets_returns_and_costs(tmp_path, monkeypatch):
    scalars = []
    monkeypatch.setattr(
        tensorboardX.SummaryWriter,
        "add_scalar",
        lambda _, name, value, step: scalars.append((name, value, step)),
    )
    train(toy_spec(), tmp_path, toy_env, ToyAgent, Options(tensorboard=True))
    assert [step for name, _, step in scalars if name == "eval/return"] == [204, 402, 600]
    assert {"train/return", "train/cost", "eval/cost", "train/toy/loss"} <= {
        name for name, _, _ in scalars
    }


@pytest.mark.parametrize(
    ("speed", "max_seconds", "left"),
    [
        (100.0, math.inf, ", 2:05:00 left"),  # 750,000 steps
        (100.0, 3783.0, ", 1:00 left"),  # the time budget ends it first
        (1e5, 3783.0, ", 0:07 left"),
        (0.0, 3783.0, ", 1:00 left"),
        (0.0, 3000.0, ", 0:00 left"),
        (0.0, math.inf, ""),
    ],
)
def test_time_left_is_by_steps_or_by_the_clock(speed, max_seconds, left):
    snapshot = Snapshot(
        1_250_000, 2_000_000, 3723.0, speed, None, None, {}, max_seconds=max_seconds
    )
    assert (
        describe(snapshot)
        == f"1,250,000/2,000,000 sim steps | {speed:.0f}/s | 1:02:03 elapsed{left}"
    )
    assert (snapshot.status()["estimated_end"] is None) == (not left)


def test_a_run_says_that_its_time_is_up(tmp_path):
    train(toy_spec(steps=10**9), tmp_path, toy_env, ToyAgent, Options(max_minutes=0.0))
    status = read_status(tmp_path)
    end, heartbeat = (
        datetime.fromisoformat(time) for time in (status.estimated_end, status.heartbeat)
    )
    assert end <= heartbeat  # neither hours ahead nor unknown


def test_an_evaluation_is_one_line(tmp_path, capsys):
    snapshot = Snapshot(
        1_250_000, 2_000_000, 3723.0, 100.0, (12.5, 3.25), (14.625, 0.0), {"model/loss": 3.0}
    )
    assert describe_evaluation(snapshot) == (
        "  1,250,000 sim steps | evaluation: return   14.62, cost    0.0 | 1:02:03 elapsed"
    )
    train(
        toy_spec(), tmp_path, toy_env, ToyAgent, Options(reporter=Lines("toy", every_seconds=1e6))
    )
    lines = capsys.readouterr().out.splitlines()
    assert sum("evaluation: return" in line for line in lines) == 3 and len(lines) <= 4


def test_a_resumed_run_purges_what_it_writes_again(tmp_path, monkeypatch):
    made = []
    real = tensorboardX.SummaryWriter.__init__
    monkeypatch.setattr(
        tensorboardX.SummaryWriter,
        "__init__",
        lambda self, *a, **k: made.append(k["purge_step"]) or real(self, *a, **k),
    )
    train(toy_spec(steps=120), tmp_path, toy_env, ToyAgent, Options(tensorboard=True))
    train(toy_spec(steps=240), tmp_path, toy_env, ToyAgent, Options(tensorboard=True))
    assert made == [0, read_status(tmp_path).env_steps - 120 + 1]
