"""Registry of tasks: counts, groups, cost limits and errors for wrong names."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.published import MAX_RETURN
from benchmarks.tasks import GROUPS, expand, get_task, tasks


def test_registry_is_that_of_safety_gymnasium():
    from benchmarks.envs.compat import import_safety_gymnasium

    package = import_safety_gymnasium()
    registered = package.utils.registration.safe_registry
    assert set(tasks()) == {
        name for name in registered if "Vision" not in name and "Debug" not in name
    }
    for name, task in tasks().items():
        assert task.episode_env_steps == package.utils.registration.spec(name).max_episode_steps, (
            name
        )


def test_paper20_is_18_vision_and_2_coordinates_tasks():
    members = GROUPS["paper20"]
    assert len(set(members)) == 20
    assert sum(member.obs == "vision" for member in members) == 18
    assert {member.task for member in members if member.obs == "coordinates"} == {
        "SafetyPointGoal1-v0",
        "SafetyCarGoal1-v0",
    }


@pytest.mark.parametrize(
    ("group", "size"),
    [("core5", 5), ("coordinates", 3), ("velocity", 6), ("circle", 10), ("run", 5)],
)
def test_groups_hold_known_tasks_with_observations_they_offer(group, size):
    assert len(GROUPS[group]) == size
    for member in GROUPS[group]:
        task = get_task(member.task)
        assert task.check_obs(member.obs) == member.obs
        assert group in task.groups


def test_cost_limits_as_published():
    task = get_task("SafetyPointGoal1-v0")
    assert task.cost_limit("vision") == 2.0
    assert task.cost_limit("lidar") == 2.0
    assert task.cost_limit("coordinates") == 0.0


def test_expand_gives_published_or_wanted_observation():
    assert expand("SafetyPointGoal1-v0") == (("SafetyPointGoal1-v0", "vision"),)
    assert expand("SafetyPointGoal1-v0", "coordinates") == (("SafetyPointGoal1-v0", "coordinates"),)
    assert expand("core5") == GROUPS["core5"]
    # the two coordinate tasks are among the vision tasks
    assert len(expand("paper20", "lidar")) == 18
    with pytest.raises(
        ValueError,
        match="SafetyHalfCheetahVelocity-v1 has no observation 'vision'; it offers lidar, default",
    ):
        expand("velocity", "vision")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("SafetyPointGoal-v0", "did you mean .*SafetyPointGoal1-v0"),
        ("safetypointgoal1-v0", "did you mean SafetyPointGoal1-v0"),
        ("papper20", "did you mean paper20"),
        ("SafetyPointGoal1Vision-v0", "write SafetyPointGoal1-v0 and choose observation vision"),
        ("SafetyCarPush1Debug-v0", "write SafetyCarPush1-v0"),
        (":make", "module:factory"),
        ("my_module:", "module:factory"),
    ],
)
def test_unknown_task_names_the_nearest(name, answer):
    with pytest.raises(ValueError, match=answer):
        get_task(name)


def test_wrong_observation_names_those_offered():
    with pytest.raises(
        ValueError, match=r"offers vision, coordinates, lidar, default; did you mean coordinates\?"
    ):
        get_task("SafetyPointGoal1-v0").check_obs("coordinate")
    with pytest.raises(ValueError, match="SafetyAntGoal1-v0 has no observation 'coordinates'"):
        get_task("SafetyAntGoal1-v0").check_obs("coordinates")


def test_custom_task():
    task = get_task("some.module:factory")
    assert task.custom
    assert task.observations == ("default",)


def test_an_episode_of_circle_returns_at_most_75():
    """What `analysis.statistics.published.MAX_RETURN` holds published returns against."""
    from benchmarks.envs.compat import import_safety_gymnasium

    env = import_safety_gymnasium().make("SafetyPointCircle1-v0")
    env.reset(seed=0)
    speeds, steps, truncated = [], 0, False
    while not truncated:
        *_, truncated, _ = env.step(np.array([1.0, 0.0]))
        speeds.append(np.linalg.norm(env.unwrapped.task.agent.vel))
        steps += 1
    # full throttle approaches 1.5 m/s and does not exceed it
    assert steps == 500 and max(speeds) == pytest.approx(1.5, abs=1e-3)
    task = env.unwrapped.task
    highest = task.reward_factor * 1.5 * steps
    assert highest == pytest.approx(MAX_RETURN["SafetyPointCircle1-v0"])
