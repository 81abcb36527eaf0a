"""`safedreamer_suite`: its names and types agree, and its documentation page runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import safedreamer_suite as sd
from benchmarks.api.policies import make_agent
from benchmarks.runs.errors import BadInput
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


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, safedreamer_suite; print(len({'jax', 'numpy', 'mujoco'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks" / "api",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"


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
