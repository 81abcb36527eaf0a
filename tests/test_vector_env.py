"""Several environments at once: rows, episode indices, agreement of processes and inline, errors, deaths, clean ends."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.envs import VectorEnv, WorkerError, episode_seed, make_env

sys.path.insert(0, str(Path(__file__).parent))  # for toy_envs


def toy(name="counter", repeat=3):
    return functools.partial(make_env, f"toy_envs:{name}", "default", repeat)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_rows_follow_dreamer():
    with VectorEnv(toy(), 2, run_seed=0, split="train", mode="inline") as envs:
        rows = [envs.reset()] + [envs.step(np.zeros((2, 2))) for _ in range(7)]
    first = [row.is_first.tolist() for row in rows]
    last = [row.is_last.tolist() for row in rows]
    # 7 simulator steps by 3: rows 3, 3, 1, and the row after the last one is a reset row.
    assert first == [[i in (0, 4)] * 2 for i in range(8)]
    assert last == [[i in (3, 7)] * 2 for i in range(8)]
    assert not any(row.is_terminal.any() for row in rows)
    assert [int(row.env_steps[0]) for row in rows] == [0, 3, 3, 1, 0, 3, 3, 1]
    assert [float(row.reward[0]) for row in rows] == [0, 3, 3, 1, 0, 3, 3, 1]
    assert [float(row.cost[0]) for row in rows] == [0, 1.5, 1.5, 0.5, 0, 1.5, 1.5, 0.5]
    assert [row.episode.tolist() for row in rows] == [[0, 1]] * 4 + [[2, 3]] * 4
    assert [float(row.obs["observation"][0, 1]) for row in rows] == [0, 3, 6, 7, 0, 3, 6, 7]
    assert (rows[0].reward.dtype, rows[0].cost.dtype, rows[0].is_first.dtype) == (np.float32, np.float32, bool)


def test_termination_is_terminal_and_truncation_is_not():
    with VectorEnv(toy("terminating", repeat=2), 1, 0, "train", "inline") as envs:
        rows = [envs.reset(), envs.step(np.zeros((1, 2))), envs.step(np.zeros((1, 2)))]
    assert [bool(row.is_last[0]) for row in rows] == [False, False, True]
    assert [bool(row.is_terminal[0]) for row in rows] == [False, False, True]


def test_layouts_depend_on_run_seed_and_episode_index_only():
    """Whatever the number of environments, episode n is the same, and it is the one of its seed."""
    marks: dict[int, dict[int, float]] = {}
    for num_envs in (1, 3):
        with VectorEnv(toy(), num_envs, run_seed=4, split="eval", mode="inline") as envs:
            rows = [envs.reset()] + [envs.step(np.zeros((num_envs, 2))) for _ in range(24)]
        marks[num_envs] = {
            int(row.episode[i]): float(row.obs["observation"][i, 0]) for row in rows for i in range(num_envs) if row.is_first[i]
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


@pytest.mark.parametrize("stop", [0, 1, 6, 7, 8, 20])  # before a step, within an episode of seven steps, at its end, after it
def test_a_snapshot_leads_back_to_the_same_row_and_the_same_future(stop):
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 3, 2)).astype(np.float32)
    with VectorEnv(toy(), 3, 0, "train", "inline") as envs:
        rows = [envs.reset(), *(envs.step(action) for action in actions[:stop])]
        snapshot = envs.snapshot()
        rows += [envs.step(action) for action in actions[stop:]]
    with VectorEnv(toy(), 3, 0, "train", "inline") as envs:
        again = [envs.restore(snapshot), *(envs.step(action) for action in actions[stop:])]
    assert_same_rows(again, rows[stop:])


def test_the_simulator_returns_to_the_middle_of_an_episode_bit_for_bit():
    make = functools.partial(make_env, "SafetyPointGoal1-v0", "coordinates", 5)
    actions = np.random.default_rng(1).uniform(-1, 1, (260, 2, 2)).astype(np.float32)
    with VectorEnv(make, 2, 0, "train", "process") as envs:
        envs.reset()
        for action in actions[:230]:  # 200 agent steps are an episode
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
        assert time.monotonic() - start < 3.0  # one after the other: 4 s
    assert not row.obs["observation"][:, 1].any()


def test_worker_threads_are_limited():
    def make():
        import os

        assert os.environ["OMP_NUM_THREADS"] == "1"
        return make_env("toy_envs:counter", "default", 1)

    VectorEnv(make, 1, 0, "train", "process").close()


def test_error_of_an_environment_comes_with_index_and_traceback():
    with VectorEnv(toy("failing", repeat=1), 2, 0, "train", "process") as envs:
        envs.reset()
        envs.step(np.zeros((2, 2)))
        envs.step(np.zeros((2, 2)))
        with pytest.raises(WorkerError, match=r"environment 0 failed(.|\n)*in step(.|\n)*ArithmeticError: the wheel came off"):
            envs.step(np.zeros((2, 2)))


def test_error_while_making_ends_the_other_processes():
    made = []

    class Recorded(VectorEnv):
        def close(self):
            made.extend(worker.pid for worker in self._workers)
            super().close()

    with pytest.raises(WorkerError, match="reports no cost"):
        Recorded(toy("no_cost"), 2, 0, "train", "process")
    assert len(made) == 2
    assert not any(alive(pid) for pid in made)


def test_dead_process_is_reported():
    with VectorEnv(toy(), 2, 0, "train", "process") as envs:
        envs.reset()
        os.kill(envs._workers[1].pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"environment 1 \(process \d+\) died: killed by signal SIGKILL; out of memory"):
            for _ in range(3):
                envs.step(np.zeros((2, 2)))


def test_process_that_hangs_is_reported_and_killed():
    envs = VectorEnv(toy("hanging", repeat=1), 1, 0, "train", "process", timeout_seconds=30.0)
    envs.reset()
    envs.step(np.zeros((1, 2)))
    envs.step(np.zeros((1, 2)))
    envs._workers[0]._timeout_seconds = 0.2
    pid = envs._workers[0].pid
    with pytest.raises(WorkerError, match=r"environment 0 did not answer within 0\.2 s"):
        envs.step(np.zeros((1, 2)))
    envs.close()
    assert not alive(pid)


def test_close_ends_the_processes_and_may_be_repeated():
    envs = VectorEnv(toy(), 2, 0, "train", "process")
    pids = [worker.pid for worker in envs._workers]
    assert all(alive(pid) for pid in pids)
    envs.close()
    envs.close()
    assert not any(alive(pid) for pid in pids)


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
