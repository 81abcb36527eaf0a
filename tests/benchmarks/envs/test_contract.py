"""The contract of environments.

A violation is reported in one line with environment, episode, step, key and value.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

from benchmarks.cli import app
from benchmarks.envs import EnvContractError, VectorEnv, env_spec, make_env
from benchmarks.envs.contract import ObsContract, check_batch, flag, real
from benchmarks.envs.custom import episode_steps, transition
from benchmarks.process.exits import BAD_INPUT, explained
from benchmarks.runs.errors import RunFailed
from benchmarks.runs.status import read_status
from benchmarks.training.evaluation import run_episodes
from benchmarks.training.loop import Options, train
from tests.fakes import odd_envs
from tests.fakes.toys import ToyAgent, toy_spec
from tests.tree import ROOT


def make(name: str, repeat: int = 1):
    return functools.partial(make_env, f"tests.fakes.odd_envs:{name}", "default", repeat)


def play(name: str, repeat: int = 1, num_envs: int = 2, steps: int = 40) -> None:
    """Steps of a vector environment, with random actions."""
    rng = np.random.default_rng(0)
    with VectorEnv(make(name, repeat), num_envs, 0, "train", "inline") as envs:
        envs.reset()
        for _ in range(steps):
            envs.step(rng.uniform(-1, 1, (num_envs, 2)))


# Values that environments return


@pytest.mark.parametrize("repeat", [1, 2])
def test_a_sound_environment_breaks_nothing(repeat):
    play("plain", repeat)


LATE = sorted(set(odd_envs.CASES) - {"not_a_dict"})


@pytest.mark.parametrize("name", LATE)
def test_a_violation_names_environment_episode_step_key_and_value(name):
    with pytest.raises(EnvContractError) as error:
        play(name)
    message = str(error.value)
    assert "\n" not in message and len(message) < 500
    task = re.escape(f"task 'tests.fakes.odd_envs:{name}'")
    assert re.match(rf"environment 0, episode 0, {task}, step {odd_envs.T_ODD}: ", message), message
    assert re.search(odd_envs.CASES[name][1], message), message


@pytest.mark.parametrize(
    "name", ["reward_inf", "obs_nan", "cost_missing", "image_floats", "terminated_none"]
)
def test_the_simulator_step_is_named_also_under_action_repeat(name):
    with pytest.raises(EnvContractError, match=f"step {odd_envs.T_ODD}: "):
        play(name, repeat=4)


@pytest.mark.parametrize("begin", [False, True])
def test_a_violation_at_the_start_of_a_later_episode_is_step_0_of_it(begin):
    with VectorEnv(make("third_start"), 2, 0, "train", "inline") as envs:
        envs.reset()
        with pytest.raises(
            EnvContractError,
            match=r"^environment 0, episode 4, .*step 0: observation 'observation'\[2\] is nan",
        ):
            for _ in range(3 * odd_envs.SIZE):
                if begin:
                    envs.begin(np.ones(2, bool))
                else:
                    envs.step(np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["obs_nan", "cost_dict", "image_256"])
def test_an_environment_in_a_process_of_its_own_says_the_same(name):
    with (
        pytest.raises(
            EnvContractError,
            match=rf"^environment 0, episode 0, task '\S+', step {odd_envs.T_ODD}: ",
        ),
        VectorEnv(make(name), 2, 0, "train", "process") as envs,
    ):
        envs.reset()
        for _ in range(10):
            envs.step(np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("not_a_dict", "the observation must be a dict with the keys cam, pos, got ndarray"),
        ("six_in_time_limit", r"SafeTimeLimit.*info\[\"cost\"\]"),
        ("old_reset", r"reset must return \(observation, info\), info a dict, got ndarray"),
        ("seedless", r"reset must take seed and options by keyword"),
        ("needs_argument", r"called without arguments \(missing a required argument: 'size'\)"),
        ("NO_FUNCTION", "must name a function that makes the environment, not int"),
    ],
)
def test_the_first_probe_says_what_is_wrong(name, message):
    with pytest.raises(EnvContractError, match=message) as error:
        make(name)()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "step must return .* got NoneType"),
        ((1, 2, 3, {}), r"step must return .* got 4 values \(int, int, int, dict\)"),
        ([0, 0.0, False, False, {"cost": 0.0}], "step must return .* got list"),
        ((0, 0.0, 0.0, False, False, None), "the info of step must be a dict"),
        ((0, 0.0, None, False, False, {}), "the cost must be one number"),
        ((0, 0.0, 0.0, 0.5, False, {}), "terminated must be True or False"),
    ],
)
def test_what_step_returns_is_read_strictly(result, message):
    with pytest.raises(EnvContractError, match=message):
        transition(result)


def test_an_episode_that_outlives_its_length_is_found():
    with pytest.raises(
        EnvContractError,
        match="step 6: the episode continues, but was declared to end after 5 steps",
    ):
        play("endless")


# Spaces that environments declare


@pytest.mark.parametrize(
    "key",
    [
        "action",
        "reward",
        "cost",
        "is_first",
        "is_last",
        "is_terminal",
        "cont",
        "motion",
        "dyn",
        "rep",
    ],
)
def test_names_of_the_replay_and_of_the_loss_are_refused(monkeypatch, key):
    space = Dict({"pos": Box(-1, 1, (3,)), key: Box(-9, 9, (2,))})
    monkeypatch.setattr(odd_envs, "named", lambda: odd_envs.spaces(space), raising=False)
    with pytest.raises(
        EnvContractError, match=rf"observation '{key}' has a name that is taken.*rename it"
    ):
        make("named")()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Box(0, 1, (64, 64, 3), dtype=np.float32), r"images are Box\(0, 255"),
        (Box(0, 255, (64, 64, 3), dtype=np.float32), r"images are Box\(0, 255"),
        (Box(0, 255, (64, 64, 3), dtype=np.int64), r"images are Box\(0, 255"),
        (Box(0, 1, (64, 64, 3), dtype=np.uint8), r"images are Box\(0, 255"),
        (Box(10, 255, (64, 64, 3), dtype=np.uint8), r"images are Box\(0, 255"),
        (Dict({"a/b": Box(-1, 1, (3,))}), "observation key 'a/b' must consist of letters"),
        (Dict({"a": Dict({"b": Box(-1, 1, (3,))})}), "observation 'a' must be a Box"),
        (Dict({}), "must be a Box or a Dict of Boxes"),
        (Box(-1, 1, (0,)), r"observation 'observation' is empty \(Box.*observe a constant"),
        (Dict({"a": Box(-1, 1, (3,)), "b": Box(-1, 1, (2, 0))}), "observation 'b' is empty"),
        (Box(0, 255, (0, 64, 3), dtype=np.uint8), "observation 'image' is empty"),
    ],
)
def test_observation_spaces_that_agents_would_misread_are_refused(monkeypatch, space, message):
    monkeypatch.setattr(odd_envs, "misread", lambda: odd_envs.spaces(space), raising=False)
    with pytest.raises(EnvContractError, match=message):
        make("misread")()


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8])
def test_whole_numbered_actions_are_refused(monkeypatch, dtype):
    space = Box(0, 2, (2,), dtype=dtype)
    monkeypatch.setattr(odd_envs, "whole", lambda: odd_envs.spaces(action=space), raising=False)
    with pytest.raises(EnvContractError, match="action space must be a Box of floats"):
        make("whole")()


def test_an_empty_action_space_is_refused(monkeypatch):
    space = Box(-1, 1, (0,), dtype=np.float32)
    monkeypatch.setattr(odd_envs, "idle", lambda: odd_envs.spaces(action=space), raising=False)
    with pytest.raises(EnvContractError, match="must be a Box of floats with one axis, not empty"):
        make("idle")()


def test_actions_reach_both_ends_of_a_very_wide_space(monkeypatch):
    seen = []

    class Wide(odd_envs.Base):
        action_space = Box(-1.5e308, 1.5e308, (2,), dtype=np.float64)

        def step(self, action):
            seen.append(action)
            return super().step(np.zeros(2))

    monkeypatch.setattr(odd_envs, "wide", lambda: odd_envs.limited(Wide()), raising=False)
    env = make("wide")()
    env.reset(seed=0)
    env.step(np.array([-1.0, 1.0]))
    assert seen[-1].tolist() == [-1.5e308, 1.5e308]


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (np.float32(1.0) + np.float32(2e-6), True),
        (1.0001, False),
        (-1.0000005, True),
        (-1.1, False),
    ],
)
def test_bounds_allow_for_rounding_alone(value, given):
    contract = ObsContract({"x": Box(-1, 1, (1,), dtype=np.float32)}, {"x": np.dtype(np.float32)})
    if given:
        assert contract({"x": np.array([value])})["x"].dtype == np.float32
    else:
        with pytest.raises(EnvContractError, match=r"observation 'x'\[0\] is \S+, outside"):
            contract({"x": np.array([value])})


def test_integers_that_float32_would_round_are_refused():
    space = Box(0, 2**40, (1,), dtype=np.int64)
    contract = ObsContract({"x": space}, {"x": np.dtype(np.float32)})
    assert contract({"x": np.array([2**24])})["x"].tolist() == [2.0**24]
    with pytest.raises(EnvContractError, match="integer beyond 16,777,216"):
        contract({"x": np.array([2**24 + 1])})


def test_the_environment_may_go_on_writing_into_what_it_sent():
    contract = ObsContract({"x": Box(-1, 1, (1,), dtype=np.float32)}, {"x": np.dtype(np.float32)})
    sent = np.zeros(1, np.float32)
    got = contract({"x": sent})
    sent[0] = 1.0
    assert got["x"].tolist() == [0.0]


def test_numbers_and_flags_of_any_library_are_taken():
    values = (1, True, np.bool_(True), np.float16(1), np.int64(1), np.array(1.0))
    assert [real("cost", value) for value in values] == [1.0] * 6
    assert [
        flag("terminated", value) for value in (1, True, np.bool_(True), np.array(True), np.int8(1))
    ] == [True] * 5
    assert [flag("terminated", value) for value in (0, False, np.bool_(False))] == [False] * 3


@pytest.mark.parametrize(("name", "dtype"), [("x", np.float64), ("pixels", np.int16)])
def test_a_batch_of_other_kinds_or_shapes_is_found(name, dtype):
    declared = {"x": ((3,), np.dtype(np.float32)), "pixels": ((2, 2, 1), np.dtype(np.uint8))}
    obs = {key: np.zeros((4, *shape), kind) for key, (shape, kind) in declared.items()}
    zeros = np.zeros(4, np.float32)
    assert check_batch(declared, obs, zeros, zeros) is None
    found = check_batch(declared, obs | {name: obs[name].astype(dtype)}, zeros, zeros)
    assert found is not None and repr(name) in found.message
    found = check_batch(declared, obs | {name: obs[name][:, :1]}, zeros, zeros)
    assert found is not None and repr(name) in found.message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_batch_names_the_environment_that_is_not_finite(value):
    declared = {"x": ((3,), np.dtype(np.float32))}
    for name in ("x", "reward", "cost"):
        arrays = {
            "x": np.zeros((4, 3), np.float32),
            "reward": np.zeros(4, np.float32),
            "cost": np.zeros(4, np.float32),
        }
        arrays[name][2, ...] = value
        found = check_batch(declared, {"x": arrays["x"]}, arrays["reward"], arrays["cost"])
        assert (
            found is not None
            and found.env == 2
            and name in found.message
            and str(value) in found.message
        )


def test_what_is_not_finite_is_found_in_tasks_of_the_simulator_too():
    def broken():
        env = make_env("SafetyPointGoal1-v0", "coordinates", 4)
        step = env.step

        def spoiled(action):
            obs, *rest = step(action)
            obs["observation"][5] = np.nan
            return obs, *rest

        env.step = spoiled
        return env

    with VectorEnv(broken, 2, 0, "train", "inline") as envs:
        envs.reset()
        with pytest.raises(
            EnvContractError,
            match=r"^environment 0, episode 0, step 4: observation 'observation'\[5\] is nan",
        ):
            envs.step(np.zeros((2, 2)))


# How long an episode is


def test_the_least_of_all_limits_counts():
    limit = gymnasium.wrappers.TimeLimit
    assert episode_steps(limit(limit(odd_envs.Base(), 5), 50)) == 5
    assert episode_steps(limit(limit(odd_envs.Base(), 50), 5)) == 5
    # nothing enforces the registration's 5
    assert episode_steps(limit(odd_envs.Endless(), 50)) == 50
    assert episode_steps(odd_envs.Endless()) == 5
    assert episode_steps(odd_envs.Base()) is None


# Safety-Gymnasium in a user's module


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "import safety_gymnasium\n"
        "def point(): return safety_gymnasium.make('SafetyPointGoal1-v0', "
        "max_episode_steps=2000)",
        "def point():\n"
        "    import safety_gymnasium\n"
        "    return safety_gymnasium.make('SafetyPointGoal1-v0', max_episode_steps=2000)",
    ],
)
def test_a_users_module_may_import_safety_gymnasium(tmp_path, module):
    (tmp_path / "odd_point.py").write_text(module)
    code = (
        "from benchmarks.envs import make_env; env = make_env('odd_point:point'); "
        "env.reset(seed=0)\n"
        "print(env.simulator.episode_env_steps)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "MUJOCO_GL": "disable", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stdout, done.returncode) == ("1000\n", 0), done.stderr


def test_a_sweep_finds_a_module_of_the_current_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "odd_here.py").write_text("from tests.fakes.odd_envs import plain\n")
    suite = {
        "preset": "debug",
        "seeds": [0],
        "runs": [{"methods": ["dreamerv3"], "tasks": ["odd_here:plain"]}],
    }
    (tmp_path / "s.yaml").write_text(json.dumps(suite))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    status = app.main(["sweep", "--suite", "s.yaml", "--dry-run"])
    said = capsys.readouterr()
    assert status == 0 and "odd_here:plain" in said.out, said.err


# How a run ends


@pytest.mark.parametrize("name", ["reward_inf", "obs_nan", "cost_none"])
def test_training_ends_at_once_with_one_line_and_status_2(tmp_path, capsys, name):
    def command() -> int:
        train(toy_spec(), tmp_path, make(name, 2), ToyAgent, Options())
        return 0

    assert explained("safedreamer", command) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "environment 0, episode 0" in said and "step 7" in said
    assert "policy" not in said and "learning rate" not in said
    status = read_status(tmp_path)
    assert status.state == "failed" and "step 7" in (status.last_error or "")
    assert not (tmp_path / "faults.jsonl").exists()  # nothing was retried


def test_an_evaluation_ends_at_once_too():
    import jax

    agent = ToyAgent(env_spec(make("obs_nan")()))
    heard = []
    with pytest.raises(
        EnvContractError,
        match=r"environment 0, episode 0, .*step 7: observation 'observation'\[1\] is nan",
    ):
        run_episodes(
            agent,
            agent.init(0),
            make("obs_nan"),
            run_seed=0,
            episodes=2,
            key=jax.random.key(0),
            on_fault=heard.append,
            workers="inline",
        )
    assert not heard


def test_a_policy_that_is_not_finite_is_not_the_environments_fault():
    with VectorEnv(make("plain"), 2, 0, "eval", "inline") as envs:
        envs.reset()
        with pytest.raises(RunFailed, match="the policy chose an action that is not finite"):
            envs.step(np.array([[0.0, 0.0], [np.nan, 0.0]]))
        assert not envs.take_faults()
