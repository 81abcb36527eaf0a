"""Several environments at once.

Rows, episode indices, agreement of process and inline workers, errors, killed workers, shutdown.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time

import numpy as np
import psutil
import pytest

from benchmarks.envs import EnvContractError, VectorEnv, WorkerError, episode_seed, make_env
from tests.tree import ROOT

sys.path.insert(0, str(ROOT / "tests" / "fakes"))  # for toy_envs


def toy(name="counter", repeat=3):
    return functools.partial(make_env, f"toy_envs:{name}", "default", repeat)


def test_rows_follow_dreamer():
    with VectorEnv(toy(), 2, run_seed=0, split="train", mode="inline") as envs:
        rows = [envs.reset()] + [envs.step(np.zeros((2, 2))) for _ in range(7)]
    first = [row.is_first.tolist() for row in rows]
    last = [row.is_last.tolist() for row in rows]
    # 7 simulator steps, 3 per row: rows of 3, 3, 1, and the row after the last one is a reset row.
    assert first == [[i in (0, 4)] * 2 for i in range(8)]
    assert last == [[i in (3, 7)] * 2 for i in range(8)]
    assert not any(row.is_terminal.any() for row in rows)
    assert [int(row.env_steps[0]) for row in rows] == [0, 3, 3, 1, 0, 3, 3, 1]
    assert [float(row.reward[0]) for row in rows] == [0, 3, 3, 1, 0, 3, 3, 1]
    assert [float(row.cost[0]) for row in rows] == [0, 1.5, 1.5, 0.5, 0, 1.5, 1.5, 0.5]
    assert [row.episode.tolist() for row in rows] == [[0, 1]] * 4 + [[2, 3]] * 4
    assert [float(row.obs["observation"][0, 1]) for row in rows] == [0, 3, 6, 7, 0, 3, 6, 7]
    assert (rows[0].reward.dtype, rows[0].cost.dtype, rows[0].is_first.dtype) == (
        np.float32,
        np.float32,
        bool,
    )


def test_termination_is_terminal_and_truncation_is_not():
    with VectorEnv(toy("terminating", repeat=2), 1, 0, "train", "inline") as envs:
        rows = [envs.reset(), envs.step(np.zeros((1, 2))), envs.step(np.zeros((1, 2)))]
    assert [bool(row.is_last[0]) for row in rows] == [False, False, True]
    assert [bool(row.is_terminal[0]) for row in rows] == [False, False, True]


def test_layouts_depend_on_run_seed_and_episode_index_only():
    """Episode n is that of its seed, whatever the number of environments."""
    marks: dict[int, dict[int, float]] = {}
    for num_envs in (1, 3):
        with VectorEnv(toy(), num_envs, run_seed=4, split="eval", mode="inline") as envs:
            rows = [envs.reset()] + [envs.step(np.zeros((num_envs, 2))) for _ in range(24)]
        marks[num_envs] = {
            int(row.episode[i]): float(row.obs["observation"][i, 0])
            for row in rows
            for i in range(num_envs)
            if row.is_first[i]
        }
    assert set(marks[1]) <= set(marks[3])
    assert all(marks[3][episode] == mark for episode, mark in marks[1].items())
    env = toy()()
    for episode, mark in marks[3].items():
        assert float(env.reset(seed=episode_seed(4, "eval", episode))[0]["observation"][0]) == mark


def test_first_episode_begins_the_count():
    with VectorEnv(toy(), 2, 0, "train", "inline", first_episode=10) as envs:
        assert envs.reset().episode.tolist() == [10, 11]


def assert_same_rows(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        for name, value in mine.obs.items():
            np.testing.assert_array_equal(value, other.obs[name])
        for name in set(mine._fields) - {"obs"}:
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name), err_msg=name)


# before a step, within an episode of seven steps, at its end, after it
@pytest.mark.parametrize("stop", [0, 1, 6, 7, 8, 20])
def test_a_snapshot_leads_back_to_the_same_row_and_the_same_future(stop):
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 3, 2)).astype(np.float32)
    with VectorEnv(toy(), 3, 0, "train", "inline") as envs:
        rows = [envs.reset(), *(envs.step(action) for action in actions[:stop])]
        snapshot = envs.snapshot()
        rows += [envs.step(action) for action in actions[stop:]]
    with VectorEnv(toy(), 3, 0, "train", "inline") as envs:
        again = [envs.restore(snapshot), *(envs.step(action) for action in actions[stop:])]
    assert_same_rows(again, rows[stop:])


@pytest.mark.slow
def test_the_simulator_returns_to_the_middle_of_an_episode_bit_for_bit():
    make = functools.partial(make_env, "SafetyPointGoal1-v0", "coordinates", 5)
    actions = np.random.default_rng(1).uniform(-1, 1, (260, 2, 2)).astype(np.float32)
    with VectorEnv(make, 2, 0, "train", "process") as envs:
        envs.reset()
        for action in actions[:230]:  # an episode has 200 agent steps
            envs.step(action)
        snapshot = envs.snapshot()
        rows = [envs.step(action) for action in actions[230:]]
    with VectorEnv(make, 2, 0, "train", "process") as envs:
        envs.restore(snapshot)
        assert_same_rows([envs.step(action) for action in actions[230:]], rows)


def test_processes_agree_with_inline_on_the_simulator():
    make = functools.partial(make_env, "SafetyPointGoal1-v0", "coordinates", 5)
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 2, 2)).astype(np.float32)
    rows = {}
    for mode in ("inline", "process"):
        with VectorEnv(make, 2, 0, "train", mode) as envs:
            rows[mode] = [envs.reset(), *(envs.step(action) for action in actions)]
            assert envs.spec.layout["hazards"] == slice(9, 25)
    for ours, theirs in zip(rows["inline"], rows["process"], strict=True):
        np.testing.assert_array_equal(ours.obs["observation"], theirs.obs["observation"])
        np.testing.assert_array_equal(ours.reward, theirs.reward)


@pytest.mark.slow
def test_processes_step_at_the_same_time_and_import_no_jax():
    def make():
        import sys
        import time

        env = make_env("toy_envs:counter", "default", 1)
        step = env.step

        def slow_step(action):
            time.sleep(1.0)
            observation, reward, terminated, truncated, info = step(action)
            observation["observation"][1] = float("jax" in sys.modules)
            return observation, reward, terminated, truncated, info

        env.step = slow_step
        return env

    with VectorEnv(make, 4, 0, "train", "process") as envs:
        envs.reset()
        start = time.monotonic()
        row = envs.step(np.zeros((4, 2)))
        assert time.monotonic() - start < 3.0  # sequentially: 4 s
    assert not row.obs["observation"][:, 1].any()


def test_worker_threads_are_limited():
    def make():
        import os

        assert os.environ["OMP_NUM_THREADS"] == "1"
        return make_env("toy_envs:counter", "default", 1)

    VectorEnv(make, 1, 0, "train", "process").close()


@pytest.mark.parametrize("mode", ["inline", pytest.param("process", marks=pytest.mark.slow)])
def test_an_environment_that_raises_loses_its_episode_and_goes_on_with_the_next(mode):
    with VectorEnv(toy("failing", repeat=1), 2, 0, "train", mode) as envs:
        envs.reset()
        envs.step(np.zeros((2, 2)))
        envs.step(np.zeros((2, 2)))
        row = envs.step(np.zeros((2, 2)))
        assert row.lost.all() and row.is_first.all() and not row.is_last.any()
        assert (
            row.episode.tolist() == [2, 3]
            and row.env_steps.tolist() == [0, 0]
            and not row.reward.any()
        )
        assert row.obs["observation"][:, 1].tolist() == [0.0, 0.0]  # the first row of an episode
        faults = envs.take_faults()
        assert [(fault.env, fault.episode, fault.agent_steps, fault.lost) for fault in faults] == [
            (0, 0, 3, True),
            (1, 1, 3, True),
        ]
        assert (
            "in step" in faults[0].reason
            and "ArithmeticError: the wheel came off" in faults[0].reason
        )
        after = envs.step(np.zeros((2, 2)))
        assert (
            not after.lost.any() and after.env_steps.tolist() == [1, 1] and not envs.take_faults()
        )


def test_an_environment_whose_episodes_fail_one_after_the_other_ends_it():
    with VectorEnv(toy("never_starting"), 1, 0, "train", "inline") as envs:
        with pytest.raises(
            WorkerError,
            match=r"environment 0 failed in 4 episodes one after the other(.|\n)*no such floor",
        ):
            envs.reset()
        assert [fault.episode for fault in envs.take_faults()] == [0, 1, 2, 3]


def test_error_while_making_ends_the_other_processes():
    made = []

    class Recorded(VectorEnv):
        def close(self):
            made.extend(worker.pid for worker in self._workers)
            super().close()

    with pytest.raises(EnvContractError, match="reports no cost"):
        Recorded(toy("no_cost"), 2, 0, "train", "process")
    assert len(made) == 2
    assert not any(psutil.pid_exists(pid) for pid in made)


def test_a_killed_process_is_replaced_and_its_episode_goes_on_as_if_nothing_had_happened():
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (12, 2, 2))
    with VectorEnv(toy("counter", repeat=1), 2, 0, "train", "inline") as envs:
        expected = [envs.reset(), *(envs.step(action) for action in actions)]
    with VectorEnv(toy("counter", repeat=1), 2, 0, "train", "process") as envs:
        rows = [envs.reset()]
        for count, action in enumerate(actions):
            if count in (3, 7):  # in the middle of an episode, and where one begins
                os.kill(envs._workers[1].pid, signal.SIGKILL)
            rows.append(envs.step(action))
        faults = envs.take_faults()
    for ours, theirs in zip(rows, expected, strict=True):
        np.testing.assert_equal(ours._asdict(), theirs._asdict())
    assert [(fault.env, fault.episode, fault.lost) for fault in faults] == [
        (1, 1, False),
        (1, 3, False),
    ]
    assert "died: killed by signal SIGKILL; out of memory is the usual cause" in faults[0].reason


@pytest.mark.slow
def test_a_process_that_hangs_is_killed_and_replaced():
    with VectorEnv(toy("hanging", repeat=1), 1, 0, "train", "process", timeout_seconds=1.0) as envs:
        envs.reset()
        envs.step(np.zeros((1, 2)))
        envs.step(np.zeros((1, 2)))
        pid = envs._workers[0].pid
        row = envs.step(np.zeros((1, 2)))  # replaying its actions hangs too
        assert (
            not psutil.pid_exists(pid)
            and row.lost.tolist() == [True]
            and row.episode.tolist() == [1]
        )
        (fault,) = envs.take_faults()
        assert fault.lost and fault.reason == "environment 0 did not answer within 1 s"


def test_a_stopped_process_is_replaced_without_loss():
    with VectorEnv(toy(), 1, 0, "train", "process", timeout_seconds=1.0) as envs:
        envs.reset()
        os.kill(envs._workers[0].pid, signal.SIGSTOP)
        row = envs.step(np.zeros((1, 2)))
        assert row.env_steps.tolist() == [3] and not row.lost.any()
        assert [fault.lost for fault in envs.take_faults()] == [False]


def test_close_ends_the_processes_and_may_be_repeated():
    envs = VectorEnv(toy(), 2, 0, "train", "process")
    pids = [worker.pid for worker in envs._workers]
    assert all(psutil.pid_exists(pid) for pid in pids)
    envs.close()
    envs.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_interrupts_of_the_whole_job_leave_the_processes_to_us():
    with VectorEnv(toy(), 1, 0, "train", "process") as envs:
        envs.reset()
        os.kill(envs._workers[0].pid, signal.SIGINT)
        os.kill(envs._workers[0].pid, signal.SIGTERM)
        assert envs.step(np.zeros((1, 2))).env_steps.tolist() == [3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_envs": 0}, "num_envs=0"),
        ({"mode": "thread"}, "unknown mode 'thread'"),
        ({"split": "test"}, "unknown split"),
        ({"run_seed": -1}, "must not be negative"),
        ({"first_episode": -1}, "must not be negative"),
    ],
)
def test_bad_settings(change, message):
    settings = {"num_envs": 2, "run_seed": 0, "split": "train", "mode": "inline", **change}
    with pytest.raises(ValueError, match=message):
        VectorEnv(toy(), **settings)


def test_bad_calls():
    with VectorEnv(toy(), 2, 0, "train", "inline") as envs:
        with pytest.raises(RuntimeError, match="reset"):
            envs.step(np.zeros((2, 2)))
        envs.reset()
        with pytest.raises(ValueError, match=r"actions have shape \(2, 3\), expected \(2, 2\)"):
            envs.step(np.zeros((2, 3)))


@pytest.mark.parametrize("mode", ["inline", pytest.param("process", marks=pytest.mark.slow)])
def test_episodes_can_be_begun_one_by_one(mode):
    with VectorEnv(toy(repeat=1), 3, 0, "train", mode) as envs:
        envs.reset()
        envs.step(np.zeros((3, 2)))
        obs = envs.begin(np.array([False, True, False]))["observation"]
        assert obs[[0, 2]].tolist() == [[0, 0], [0, 0]]  # these do not step
        assert obs[1, 1] == 0 and obs[1, 0] > 0
        step = envs.step(np.zeros((3, 2)))
        assert step.episode.tolist() == [0, 4, 2]
        assert step.obs["observation"][:, 1].tolist() == [2, 1, 2]
        assert not step.is_first.any()
        snapshot = envs.snapshot()
        again = envs.step(np.zeros((3, 2)))
        envs.restore(snapshot)
        np.testing.assert_array_equal(
            envs.step(np.zeros((3, 2))).obs["observation"], again.obs["observation"]
        )
    with VectorEnv(toy(repeat=1), 2, 0, "train", mode) as envs:  # no reset at all
        assert (envs.begin(np.array([True, True]))["observation"][:, 1] == 0).all()
        assert envs.step(np.zeros((2, 2))).episode.tolist() == [0, 1]
