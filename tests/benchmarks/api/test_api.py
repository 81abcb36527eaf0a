"""`safedreamer_suite`: its names and types agree, and its documentation page runs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import safedreamer_suite as sd
from benchmarks.api.policies import make_agent
from benchmarks.cli import train as train_command
from benchmarks.process.options import option
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.spec import RunSpec
from tests.documents import blocks
from tests.tree import ROOT


@pytest.mark.slow
def test_the_page_about_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    names: dict = {}
    for block in blocks("docs/howto/python.md", "python"):
        exec(compile(block, "docs/howto/python.md", "exec"), names)
    assert (tmp_path / "first.png").stat().st_size > 10_000
    assert set(names["results"]["label"]) == {"sac_lag"}
    assert names["table"]["episode"].tolist() == [0, 1]
    assert names["table"]["length"].tolist() == [1000, 1000]


def test_types_are_those_of_the_names():
    stub = ast.parse((ROOT / "benchmarks/api/safedreamer_suite/__init__.pyi").read_text())
    typed = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == sd._FROM
    assert {name: getattr(sd, name).__name__ for name in typed} == {n: n for n in typed}


def test_settings_are_those_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    started = {}

    def train_here(spec: RunSpec, out: Path, *_: Any, **options: Any) -> int:
        started.update(spec=spec, out=out, options=options)
        return 0

    monkeypatch.setattr(train_command, "train_here", train_here)
    settings = {
        "planner.cost_critic": False,
        "pid.limit_schedule": True,
        "cost_limit": 1,
        "loop.truncation_is_terminal": True,
        "tensorboard": True,
        "wandb": "-project",
        "max_env_faults": 3,
    }
    preset = {"obs": "lidar", "preset": "debug"}
    folder = sd.train("osrp_lag", "SafetyPointGoal1-v0", "~/x", **preset, settings=settings)
    assert folder == started["out"] == tmp_path / "x"
    spec, options = started["spec"], started["options"]
    assert not spec.agent.planner.cost_critic and spec.agent.pid.limit_schedule
    assert spec.agent.cost_limit == 1.0 and spec.loop.truncation_is_terminal
    given = options["tensorboard"], options["wandb"], options["max_env_faults"]
    assert given == (True, "-project", 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", 3), ("preset", "cpu"), ("steps", 200), ("out", "there"), ("method", "sac_lag")],
)
def test_a_setting_that_is_also_an_argument_is_refused(name, value, tmp_path, monkeypatch):
    monkeypatch.setattr(train_command, "train_here", lambda *_, **__: 0)
    given = {"obs": "lidar", "preset": "debug", "seed": 0, "steps": 100}
    with pytest.raises(BadInput, match=f"--{name} is given twice"):
        sd.train("sac", "SafetyPointGoal1-v0", tmp_path / "run", **given, settings={name: value})
    assert not list(tmp_path.iterdir())


def test_settings_with_several_values_are_several_words():
    assert option("vision.frame_channels", (8, 16)) == ["--vision.frame-channels", "8", "16"]
    assert option("max_minutes", None) == ["--max-minutes=None"]


@pytest.mark.parametrize(("status", "message"), [(75, "was stopped"), (1, "ended with status 1")])
def test_a_training_that_does_not_finish_raises(status, message, tmp_path, monkeypatch):
    monkeypatch.setattr(train_command, "train_here", lambda *_, **__: status)
    with pytest.raises(RunFailed, match=message):
        sd.train("sac", "SafetyPointGoal1-v0", tmp_path / "run", obs="lidar", preset="debug")


def test_a_wrong_name_lists_what_there_is():
    with pytest.raises(AttributeError, match="has no 'make'; it has BadInput, EnvSpec"):
        _ = sd.make


def test_an_untrained_agent_acts_alike_for_the_same_seed():
    first, second = (
        make_agent("sac", "SafetyPointGoal1-v0", "lidar", "debug", seed=3) for _ in range(2)
    )
    obs = {"observation": np.zeros(first.env_spec.obs["observation"].shape, np.float32)}
    action = first.act(obs)
    assert action.shape == (2,) and np.abs(action).max() <= 1
    np.testing.assert_array_equal(action, second.act(obs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ppo_lag", "SafetyPointGoal1-v0"), "ppo_lag is OmniSafe's"),
        (("sac", "SafetyPointGoal9-v0", "lidar"), "unknown task"),
    ],
)
def test_what_makes_no_agent_is_refused(arguments: tuple[str, ...], message: str):
    with pytest.raises(BadInput, match=message):
        make_agent(*arguments)


@pytest.mark.parametrize("episodes", [0, -1, 2.5])
def test_an_impossible_number_of_episodes_is_refused(episodes: float):
    policy = make_agent("sac", "SafetyPointGoal1-v0", "lidar", "debug")
    with pytest.raises(BadInput, match=f"episodes={episodes} must be a whole number"):
        policy.evaluate(episodes)  # type: ignore[arg-type]
