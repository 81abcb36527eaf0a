"""Environments under a separate interpreter.

Equal records, plain-data messages, and no simulator in the learner's process.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import app
from benchmarks.envs import EnvContractError, EnvFactory, VectorEnv, vector, worker
from benchmarks.envs.factory import ENV_PYTHON, choose_python, chosen_python
from benchmarks.envs.wire import pack, unpack
from benchmarks.envs.worker import (
    InlineWorker,
    check_python,
    env_factory,
    make_request,
    probed,
    worker_environ,
)
from benchmarks.omnisafe import process
from benchmarks.runs.errors import BadInput
from benchmarks.training import evaluation, keys
from benchmarks.training.launch import environment
from benchmarks.training.traces import Recorder
from benchmarks.video.footage import Stage
from benchmarks.video.frame import SCENE
from slurm import child
from tests.fakes.toys import ToyAgent, no_fault, toy_spec
from tests.tree import ROOT

TASK = "SafetyPointGoal1-v0"


@pytest.fixture
def other_python(tmp_path: Path) -> str:
    """This interpreter under another path; interpreters are told apart by path alone."""
    script = tmp_path / "python"
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A task of ten agent steps whose image shows the simulator step; its module loads no JAX."""
    (tmp_path / "painted.py").write_text(
        "import gymnasium, numpy as np\n"
        "from gymnasium.spaces import Box\n"
        "class E(gymnasium.Env):\n"
        "    render_mode = 'rgb_array'\n"
        "    observation_space = action_space = Box(-1, 1, (2,), dtype=np.float32)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed)\n"
        "        self.t = 0\n"
        "        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}\n"
        "    def step(self, action):\n"
        "        self.t += 1\n"
        "        return np.zeros(2, np.float32), float(action[0]), False, False, {'cost': 0.0}\n"
        "    def render(self): return np.full((8, 8, 3), self.t, np.uint8)\n"
        "def make(): return gymnasium.wrappers.TimeLimit(E(), 20)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "painted:make"


def rows(make: EnvFactory, steps: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    with VectorEnv(make, 2, 3, "train", "inline") as envs:
        found = [envs.reset()]
        found += [envs.step(rng.uniform(-1, 1, (2, envs.spec.action_dim))) for _ in range(steps)]
        assert envs.spec.layout["goal"] == slice(7, 9)
    return [value for step in found for value in (*step.obs.values(), *step[1:])]


def test_another_interpreter_gives_the_same_rows_bit_for_bit(other_python):
    mine = rows(EnvFactory(TASK, "coordinates", 3))
    theirs = rows(EnvFactory(TASK, "coordinates", 3, python=other_python))
    for a, b in zip(mine, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_specs_cross_the_connection_unchanged(other_python):
    mine, theirs = (
        EnvFactory(TASK, "coordinates", 3, python=python) for python in ("", other_python)
    )
    assert probed(mine, False) == probed(theirs, True)


def test_another_interpreter_sees_none_of_this_ones_packages(other_python):
    mine, theirs = (
        worker_environ(python)["PYTHONPATH"].split(os.pathsep) for python in ("", other_python)
    )
    assert any(path.endswith("site-packages") for path in mine)
    assert not any(path.endswith("site-packages") for path in theirs)
    assert str(ROOT) in theirs


def test_settings_are_sent_and_never_pickled_code():
    kind, settings = make_request(EnvFactory(TASK, "lidar", 2, python="python9"))
    assert kind == "make"
    assert settings == unpack(pack(settings))
    assert settings["task"] == TASK
    assert "python" not in settings


def test_every_executor_hands_the_interpreter_to_its_runs(
    other_python, painted, tmp_path, monkeypatch
):
    """`sweep --env-python` applies to this process, where the debug executor trains, and to
    children of the local executor; Slurm jobs are covered by tests/slurm/test_profile.py.
    """
    monkeypatch.setenv(ENV_PYTHON, "")  # restores what the command sets
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"{{preset: debug, seeds: [0], runs: [{{methods: [osrp], tasks: ['{painted}']}}]}}"
    )
    line = ["sweep", "--suite", str(file), "--out", str(tmp_path / "out"), "--dry-run"]
    assert app.main([*line, "--env-python", other_python]) == 0
    assert env_factory(TASK, "lidar", 2).python == other_python
    assert child.environment(tmp_path, os.environ)[ENV_PYTHON] == other_python
    assert app.main([*line, "--env-python", str(tmp_path / "none")]) == 2


@pytest.mark.slow
def test_nothing_runs_an_environment_in_the_learners_process(other_python, painted, monkeypatch):
    monkeypatch.setenv(ENV_PYTHON, other_python)

    def refused(*_):
        raise AssertionError("an environment was about to run inline")

    monkeypatch.setattr(worker, "InlineWorker", refused)
    monkeypatch.setattr(vector, "InlineWorker", refused)
    spec = dataclasses.replace(toy_spec(), task=painted)
    make, env = environment(spec)
    agent = ToyAgent(env)
    recorder = Recorder(1)
    done = evaluation.run_episodes(
        agent,
        agent.init(0),
        make,
        run_seed=0,
        episodes=1,
        key=keys.evaluation_key(0, 0),
        on_fault=no_fault,
        workers="inline",
        on_step=recorder.add,
    )
    # what `safedreamer diagnose` plays
    assert len(evaluation.play(agent, agent.init(0), make, 0, 1, keys.evaluation_key(0, 0)))
    with Stage(spec, SCENE) as stage:  # a film
        shots = list(stage.shots(recorder.traces()[0]))
        assert stage.heading == 0.0
    assert done[0].length == 20
    assert [int(shot.outside[0, 0, 0]) for shot in shots] == list(range(0, 21, 2))


def test_omnisafe_without_a_simulator_of_its_own_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"OmniSafe imports Safety-Gymnasium.*make omnisafe"):
        process.run_in_child(
            "evaluate", dataclasses.replace(toy_spec(), method="ppo_lag"), tmp_path
        )


@pytest.mark.omnisafe
def test_omnisafes_environments_run_under_the_other_interpreter(other_python, monkeypatch):
    """In a process like OmniSafe's, without an inline worker."""
    text = (
        "import benchmarks.omnisafe.__main__ as main, numpy as np\n"
        "from benchmarks.envs import vector, worker\n"
        "vector.InlineWorker = worker.InlineWorker = None\n"
        "from benchmarks.methods import settings\n"
        "from benchmarks.runs.spec import RunSpec\n"
        "chosen = settings('ppo_lag', 'lidar', 'debug')\n"
        f"of_run = 'ppo_lag', '{TASK}', 'lidar', 0, 10, 'debug'\n"
        "spec = RunSpec(*of_run, chosen.loop, chosen.replay, chosen.agent)\n"
        "make = main.environment(spec)\n"
        "with vector.VectorEnv(make, 1, 0, 'eval', 'inline') as envs:\n"
        "    assert envs.reset().obs['observation'].shape[0] == 1\n"
        "    print(make.python)\n"
    )
    monkeypatch.setenv(ENV_PYTHON, other_python)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == other_python, done.stderr


def test_messages_keep_values_types_and_shapes():
    message = [
        {"reward": 0.1, "cost": 3, "text": "é", "none": None, "flag": True, "big": 2**62},
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 4), np.uint8),
        np.array(2.5),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        (np.float64(1e-300), np.bool_(True), np.int8(-3)),
    ]
    got = unpack(pack(message))
    assert got[0] == message[0]
    for a, b in zip(got[1:5], message[1:5], strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert got[5] == [1e-300, True, -3]


@pytest.mark.parametrize("value", [object(), lambda: 0, np.array([object()]), {1, 2}])
def test_what_is_no_plain_value_is_refused_by_type(value):
    with pytest.raises(TypeError, match="environment processes exchange numbers"):
        pack(value)


def test_what_the_user_has_to_change_comes_as_it_is(other_python, tmp_path, monkeypatch):
    (tmp_path / "costless.py").write_text(
        "import gymnasium, numpy as np\n"
        "from gymnasium.spaces import Box\n"
        "class E(gymnasium.Env):\n"
        "    observation_space = action_space = Box(-1, 1, (2,), dtype=np.float32)\n"
        "    def reset(self, *, seed=None, options=None): return np.zeros(2, np.float32), {}\n"
        "    def step(self, action): return np.zeros(2, np.float32), 0.0, False, False, {}\n"
        "def make(): return gymnasium.wrappers.TimeLimit(E(), 5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for python in ("", other_python):
        with pytest.raises(EnvContractError, match="cost"):
            probed(EnvFactory("costless:make", python=python), True)
        with pytest.raises(ValueError, match="no module 'missing_module'"):
            probed(EnvFactory("missing_module:make", python=python), True)


def test_interpreters_that_cannot_simulate_are_refused_with_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv(ENV_PYTHON, "")  # restores what choose_python sets below
    monkeypatch.delenv(ENV_PYTHON)
    assert chosen_python() == ""
    with pytest.raises(BadInput, match=r"is not a program"):
        choose_python(str(tmp_path / "none"))
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # no site-packages
    bare.chmod(0o755)
    choose_python(str(bare))
    assert os.environ[ENV_PYTHON] == str(bare)
    monkeypatch.delenv(ENV_PYTHON)
    with pytest.raises(BadInput, match=r"No module named .*requirements/envs.txt"):
        check_python(str(bare))


def test_a_missing_newest_python_is_said_in_one_line_and_is_no_failure(tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")  # like a Python before 3.12
    old.chmod(0o755)
    script = ROOT / "tests" / "newest.sh"
    variables = {**os.environ, "NEWEST_PYTHON": str(old), "NEWEST_VENV": str(tmp_path / "venv")}
    done = subprocess.run(
        [str(script)], env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("test-newest: skipped: no Python 3.12 or newer with venv")
    assert str(old) in done.stdout and done.stdout.count("\n") == 1
    assert not (tmp_path / "venv").exists()


def test_an_inline_environment_takes_the_same_requests():
    worker = InlineWorker(0)
    worker.send(make_request(EnvFactory(TASK, "lidar", 2)))
    assert worker.receive(1)["action_dim"] == 2
    worker.close()
