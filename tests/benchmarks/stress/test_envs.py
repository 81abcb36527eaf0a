"""Perturbations of environments: each does exactly what it specifies, nothing at strength 0, and
the same for the same seed.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from benchmarks.envs import EnvFactory
from benchmarks.envs.make import base_of, make_wrapped
from benchmarks.stress import images, sensors
from benchmarks.stress.lidar import front_bins
from benchmarks.stress.registry import PERTURBATIONS

GOAL, CIRCLE = "SafetyPointGoal1-v0", "SafetyPointCircle1-v0"
SEED = 7


def env_of(name: str, strength: float, task: str = GOAL, obs: str = "lidar") -> gymnasium.Env:
    """The environment of a task under a perturbation."""
    change = PERTURBATIONS[name].env
    assert change is not None
    return change(EnvFactory(task, obs, 5), strength)()


def episode(env: gymnasium.Env, steps: int = 6, seed: int = SEED) -> tuple[np.ndarray, list[float]]:
    """Observations [T+1, D] and [reward, cost, ...] of an episode of fixed actions."""
    rng = np.random.default_rng(1)
    rows, numbers = [env.reset(seed=seed)[0]["observation"]], []
    for _ in range(steps):
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        obs, reward, _, _, info = env.step(action)
        rows.append(obs["observation"])
        numbers += [float(reward), info["cost"]]
    return np.array(rows), numbers


@pytest.fixture(scope="module")
def undisturbed() -> tuple[np.ndarray, list[float]]:
    return episode(EnvFactory(GOAL, "lidar", 5)())


BOUNDED = ("wall_distance", "cost_excess")  # of tasks with walls
FLAT = [
    name
    for name, each in PERTURBATIONS.items()
    if each.env is not None and each.family != "images" and name not in BOUNDED
]


@pytest.mark.parametrize("name", FLAT)
def test_strength_0_is_the_undisturbed_episode_bit_for_bit(name: str, undisturbed):
    rows, numbers = episode(env_of(name, 0.0))
    np.testing.assert_array_equal(rows.view(np.uint32), undisturbed[0].view(np.uint32))
    assert numbers == undisturbed[1]


def test_strength_0_of_walls_is_the_undisturbed_episode_bit_for_bit():
    rows, numbers = episode(EnvFactory(CIRCLE, "lidar", 5)(), 4)
    for name in BOUNDED:
        again, same_numbers = episode(env_of(name, 0.0, CIRCLE), 4)
        np.testing.assert_array_equal(again.view(np.uint32), rows.view(np.uint32))
        assert same_numbers == numbers


@pytest.mark.parametrize("name", FLAT)
def test_a_perturbation_changes_the_episode_and_is_the_same_again(name: str, undisturbed):
    strength = PERTURBATIONS[name].strengths[-1]
    env = env_of(name, strength)
    rows, numbers = episode(env)
    assert rows.dtype == undisturbed[0].dtype
    # sizes and costs have effects only near objects, and friction does not affect a Point
    if name not in ("goal_size", "hazard_size", "cost_depth", "cost_delay", "friction"):
        assert not np.array_equal(rows, undisturbed[0])
    episode(env, 3, seed=8)  # another episode in between leaves no trace
    for same in (env, env_of(name, strength)):
        again, same_numbers = episode(same)
        np.testing.assert_array_equal(again, rows)
        assert same_numbers == numbers


def test_a_delay_of_three_shows_the_observation_of_three_steps_ago(undisturbed):
    rows, _ = episode(env_of("sensor_delay", 3), 6)
    np.testing.assert_array_equal(rows[3:], undisturbed[0][:-3])
    np.testing.assert_array_equal(rows[:3], np.repeat(undisturbed[0][:1], 3, 0))


def test_dropped_steps_show_the_last_observation(undisturbed):
    rows, _ = episode(env_of("sensor_dropout", 0.5), 6)
    source = [int(np.flatnonzero((undisturbed[0] == row).all(1))[0]) for row in rows]
    assert source[0] == 0
    assert all(now in (t, before) for t, (before, now) in enumerate(zip(source, source[1:]), 1))
    assert 0 < sum(now == before for before, now in zip(source, source[1:])) < 6


def test_noise_has_the_size_of_each_part():
    env = env_of("sensor_noise", 0.1)
    plain, _ = episode(EnvFactory(GOAL, "lidar", 5)(), 60)
    noisy, _ = episode(env, 60)
    layout = base_of(env).simulator.layout
    part = layout["accelerometer"]
    size = np.sqrt(np.cumsum(np.square(plain[:, part]).mean(1)) / np.arange(1, 62))
    standard = ((noisy - plain)[:, part] / size[:, None]).std()
    assert standard == pytest.approx(0.1, rel=0.2)
    bins = layout["hazards_lidar"]
    seen = noisy[:, bins]
    assert seen.min() == 0.0 and seen.max() <= 1.0
    inside = (plain[:, bins] > 0.4) & (plain[:, bins] < 0.6)  # where nothing is clipped
    assert (noisy - plain)[:, bins][inside].std() == pytest.approx(0.1, rel=0.3)


def test_a_bias_stays_for_the_episode():
    env = env_of("sensor_bias", 0.1)
    plain, _ = episode(EnvFactory(GOAL, "lidar", 5)(), 20)
    biased, _ = episode(env, 20)
    bins = base_of(env).simulator.layout["hazards_lidar"]
    inside = (plain[:, bins] > 0.35) & (plain[:, bins] < 0.65)
    offset = np.where(inside, (biased - plain)[:, bins], np.nan)
    kept = offset[:, inside.sum(0) > 2]
    assert kept.shape[1] > 0
    np.testing.assert_allclose(np.nanstd(kept, 0), 0.0, atol=1e-6)
    assert np.abs(np.nanmean(kept, 0)).max() > 0.01


def test_the_front_bins_are_blind_and_no_others(undisturbed):
    assert front_bins(4, 16).tolist() == [0, 1, 14, 15]
    assert front_bins(3, 16).tolist() == [0, 1, 15]
    env = env_of("lidar_blind", 0.25)
    rows, _ = episode(env)
    blind = np.zeros(rows.shape[1], bool)
    for part, place in base_of(env).simulator.layout.items():
        if part.endswith("_lidar"):
            blind[place.start + np.array([0, 1, 14, 15])] = True
    assert blind.sum() == 12  # of goal, hazards and vases
    assert not rows[:, blind].any() and undisturbed[0][:, blind].any()
    np.testing.assert_array_equal(rows[:, ~blind], undisturbed[0][:, ~blind])


def test_ghosts_and_missing_hazards_change_their_lidar_alone(undisturbed):
    for name, strength in (("lidar_ghosts", 3), ("lidar_missing", 3)):
        env = env_of(name, strength)
        rows, numbers = episode(env)
        place = base_of(env).simulator.layout["hazards_lidar"]
        other = np.ones(rows.shape[1], bool)
        other[place] = False
        np.testing.assert_array_equal(rows[:, other], undisturbed[0][:, other])
        more = rows[:, place] - undisturbed[0][:, place]
        assert (more >= 0).all() if name == "lidar_ghosts" else (more <= 0).all()
        assert np.abs(more).max() > 0.05
        assert numbers == undisturbed[1]  # the simulation is unchanged
    rows, _ = episode(env_of("lidar_missing", 8))
    assert not rows[:, place].any()  # PointGoal1 has eight


def test_a_ghost_stands_where_the_lidar_shows_it():
    env = env_of("lidar_ghosts", 1)
    rows, _ = episode(env, 1)
    ghost = env._ghosts[0]  # pyright: ignore[reportAttributeAccessIssue]
    task = base_of(env).simulator.task  # pyright: ignore[reportAttributeAccessIssue]
    task.lidar_conf.alias = True
    true = task._obs_lidar([p[:2] for p in task.hazards.pos], task.hazards.group)
    alone = task._obs_lidar([ghost], task.hazards.group)
    place = base_of(env).simulator.layout["hazards_lidar"]
    np.testing.assert_allclose(rows[-1, place], np.maximum(true, alone), rtol=1e-6)


class Echo(gymnasium.Wrapper):
    """Records the actions that reach the environment."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.taken: list[np.ndarray] = []

    def step(self, action: Any) -> Any:
        self.taken.append(np.array(action))
        return self.env.step(action)


def actions_taken(kind: type, strength: float, sent: list[list[float]]) -> np.ndarray:
    echo = Echo(make_wrapped((), task=GOAL, obs="lidar", action_repeat=1))
    env = kind(echo, strength)
    env.reset(seed=SEED)
    for action in sent:
        env.step(np.array(action, np.float32))
    return np.array(echo.taken)


def test_actuators():
    from benchmarks.stress import actuators

    sent = [[0.5, 0.8], [-0.4, -0.6], [1.5, 0.2]]
    late = actions_taken(actuators.Delay, 2, sent)
    np.testing.assert_allclose(late, [[0, 0], [0, 0], [0.5, 0.8]])
    weak = actions_taken(actuators.Gain, 0.75, sent)
    np.testing.assert_allclose(weak, [[0.125, 0.2], [-0.1, -0.15], [0.25, 0.05]], rtol=1e-6)
    lame = actions_taken(actuators.WeakSide, 0.5, sent)
    np.testing.assert_allclose(lame, [[0.5, 0.4], [-0.4, -0.6], [1.0, 0.1]], rtol=1e-6)
    noisy = actions_taken(actuators.Noise, 0.3, [[0.0, 0.0]] * 200)
    assert noisy.std() == pytest.approx(0.3, rel=0.1)


FIELDS = {
    "mass": ("body_mass", 1.5),
    "friction": ("geom_friction", 0.5),
    "gear": ("actuator_gear", 0.5),
    "damping": ("dof_damping", 1.5),
}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("task", [GOAL, "SafetyHopperVelocity-v1"])
def test_physics_is_in_the_simulators_model_and_never_twice(name: str, task: str):
    field, factor = FIELDS[name]
    plain, env = EnvFactory(task, "lidar", 5)(), env_of(name, 0.5, task)
    for seed in (1, 2):  # also in a second episode
        plain.reset(seed=seed)
        env.reset(seed=seed)
        (before, _), (after, data) = (
            base_of(e).simulator.physics  # pyright: ignore[reportAttributeAccessIssue]
            for e in (plain, env)
        )
        rows = slice(None)
        if name == "mass":
            body = [i for i in range(1, before.nbody) if before.body(i).name == "agent"]
            rows = body or slice(1, None)
        np.testing.assert_allclose(
            getattr(after, field)[rows], factor * getattr(before, field)[rows], rtol=1e-12
        )
        if name == "mass" and task == GOAL:
            vase = [i for i in range(before.nbody) if before.body(i).name == "vase0"]
            np.testing.assert_array_equal(after.body_mass[vase], before.body_mass[vase])
        np.testing.assert_array_equal(
            data.qpos,
            base_of(plain).simulator.physics[1].qpos,  # pyright: ignore[reportAttributeAccessIssue]
        )


def test_a_heavier_robot_accelerates_less():
    ends = []
    for strength in (0.0, 1.0):
        env = env_of("mass", strength)
        env.reset(seed=SEED)
        for _ in range(3):
            env.step(np.array([1.0, 0.0], np.float32))
        task = base_of(env).simulator.task  # pyright: ignore[reportAttributeAccessIssue]
        ends.append(np.linalg.norm(task.agent.vel[:2]))
    assert ends[1] < 0.75 * ends[0]


def test_tasks_change_before_the_first_layout():
    def task_of(name: str, strength: float, task: str = GOAL) -> Any:
        env = env_of(name, strength, task)
        env.reset(seed=SEED)
        return base_of(env).simulator.task  # pyright: ignore[reportAttributeAccessIssue]

    assert task_of("hazard_number", 4).hazards.num == 12
    assert len(task_of("hazard_number", 4).hazards.pos) == 12
    larger = task_of("hazard_size", 0.5)
    assert larger.hazards.size == pytest.approx(0.3)
    assert larger.model.geom("hazard0").size[0] == pytest.approx(0.3)
    assert task_of("goal_size", 0.4).goal.size == pytest.approx(0.18)
    nearer = task_of("wall_distance", 0.2, CIRCLE)
    assert nearer.sigwalls.locate_factor == pytest.approx(0.9)
    assert nearer.model.body("sigwall0").pos[0] == pytest.approx(0.9)
    assert PERTURBATIONS["level"].env(EnvFactory(CIRCLE, "lidar", 5), 1).task == (  # pyright: ignore[reportOptionalCall]
        "SafetyPointCircle2-v0"
    )


@pytest.mark.parametrize(("name", "factor"), [("arena_smaller", 0.8), ("arena_larger", 1.2)])
def test_robot_and_objects_stand_in_a_smaller_or_larger_arena(name: str, factor: float):
    env = env_of(name, 0.2)
    task = base_of(env).simulator.task  # pyright: ignore[reportAttributeAccessIssue]
    farthest = 0.0
    for seed in range(3):
        env.reset(seed=seed)
        for kind, place in task.world_info.reset_layout.items():
            keepout = task.placements_conf.placements[kind][1]
            assert np.abs(place).max() <= 1.5 * factor - keepout
            farthest = max(farthest, np.abs(place).max() + keepout)
    assert farthest > 0.9 * 1.5 * factor
    assert task.random_generator.placements_extents == pytest.approx(
        [-1.5 * factor] * 2 + [1.5 * factor] * 2
    )


def test_the_cost_follows_the_excess_over_walls():
    env = env_of("cost_excess", 0.25, CIRCLE)
    env.reset(seed=SEED)
    task = base_of(env).simulator.task  # pyright: ignore[reportAttributeAccessIssue]
    costs = []
    for x in (0.5, 1.35):  # the walls are at 1.125
        task.model.body("agent").pos[0] += x - task.agent.pos[0]
        _, _, _, _, info = env.step(np.zeros(2, np.float32))
        assert task.agent.pos[0] == pytest.approx(x, abs=0.05)
        costs.append(info["cost"])
    # five simulator steps, in which the robot hardly moves
    excess = task.agent.pos[0] / 1.125 - 1
    assert costs[0] == 0.0
    assert costs[1] == pytest.approx(5 * (0.75 + 0.25 * excess), abs=0.02)


def test_the_cost_follows_the_excess_over_a_speed_limit():
    plain = EnvFactory("SafetyHopperVelocity-v1", "default", 1)()
    graded = env_of("cost_excess", 0.5, "SafetyHopperVelocity-v1", "default")
    base_of(graded).action_repeat = 1
    simulator: Any = base_of(graded).simulator
    assert simulator.speed_limit == 0.7402
    simulator._env.unwrapped._velocity_threshold = 0.005
    base_of(plain).simulator._env.unwrapped._velocity_threshold = 0.005  # pyright: ignore[reportAttributeAccessIssue]
    for env in (plain, graded):
        env.reset(seed=SEED)
    rng, pairs = np.random.default_rng(0), []
    for _ in range(10):
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        costs = [env.step(action)[-1]["cost"] for env in (plain, graded)]
        pairs.append((costs[0], costs[1], simulator.speed))
    assert {cost for cost, _, _ in pairs} == {0.0, 1.0}
    for cost, shared, speed in pairs:
        assert shared == pytest.approx(0.5 * cost + 0.5 * max(0.0, speed / 0.005 - 1))


def test_costs_arrive_later_and_all_of_them():
    from benchmarks.stress.costs import DelayedCost

    def arrived(costs: list[float], delay: int) -> list[float]:
        it = DelayedCost.__new__(DelayedCost)
        it.strength = delay
        it.begin()
        return [it.costed(cost, last=i == len(costs) - 1) for i, cost in enumerate(costs)]

    assert arrived([1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0], 3) == [0, 0, 0, 1, 0, 2, 3]
    assert arrived([1.0, 2.0], 3) == [0, 3]


def test_the_cost_follows_the_depth_in_hazards():
    env = env_of("cost_depth", 0.25)
    env.reset(seed=SEED)
    task = base_of(env).simulator.task  # pyright: ignore[reportAttributeAccessIssue]
    place, size = task.hazards.pos[0][:2], task.hazards.size
    robot = place + np.array([0.05, 0.0])
    task.agent.dist_xy = lambda pos: float(np.linalg.norm(robot - pos[:2]))
    depth = sum(max(0.0, 1 - task.agent.dist_xy(pos) / size) for pos in task.hazards.pos)
    assert depth >= 0.7499
    assert task.calculate_cost()["cost_sum"] == pytest.approx(0.75 + 0.25 * depth)
    task.agent.dist_xy = lambda pos: 9.0
    assert task.calculate_cost()["cost_sum"] == 0.0


def pictures(kind: type[images._Pictures], strength: float, *shown: np.ndarray) -> list[np.ndarray]:
    """Images of an episode as a wrapper returns them."""
    it = kind.__new__(kind)
    it.strength, it.rng = strength, np.random.default_rng(3)
    it.begin()
    return [it.observed({"image": picture})["image"] for picture in shown]


GREY = np.full((64, 64, 3), 100, np.uint8)


def test_pictures():
    (noisy,) = pictures(images.Noise, 0.1, GREY)
    assert (noisy / 255.0).std() == pytest.approx(0.1, rel=0.03)
    (bright,) = pictures(images.Brightness, 0.2, np.array([[[100, 50, 0]]], np.uint8))
    # value 100 -> 151; the others in proportion
    np.testing.assert_array_equal(bright, [[[151, 76, 0]]])
    first, second = pictures(images.Occlusion, 0.25, GREY, GREY)
    np.testing.assert_array_equal(first, second)
    assert (first == 0).sum() == 16 * 16 * 3 and (first == 100).sum() == (64 * 64 - 256) * 3
    dot = np.zeros((9, 9, 3), np.uint8)
    dot[4, 4] = 255
    (blurred,) = pictures(images.Blur, 1.0, dot)
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    weights /= weights.sum()
    expected = np.zeros((9, 9))
    expected[1:8, 1:8] = 255 * np.outer(weights, weights)
    np.testing.assert_allclose(blurred[..., 0], expected, atol=0.5)
    (coloured,) = pictures(images.Colour, 0.5, GREY)
    gains = np.unique(coloured.reshape(-1, 3), axis=0)
    assert gains.shape == (1, 3) and (gains >= 50).all() and (gains <= 150).all()
    assert len(set(gains[0].tolist())) == 3
    (glare,) = pictures(images.Glare, 0.2, GREY)
    white = (glare == 255).all(-1).mean()
    assert (
        0.25 * np.pi * 0.04 < white < 1.3 * np.pi * 0.04
    )  # a disc, possibly cut off by the picture's border


def test_cameras_look_further_down():
    from benchmarks.envs import cameras
    from benchmarks.envs.compat import mujoco

    def view(pose: cameras.Pose) -> np.ndarray:
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, np.array(pose.quaternion))
        return -matrix.reshape(3, 3)[:, 2]  # along its negative z axis

    for agent in ("Point", "Car", "Racecar"):
        for pose in cameras.FRONT_AND_BACK[agent]:
            tilted = cameras.tilted(pose, 15)
            below, more = (np.degrees(np.arcsin(-view(p)[2])) for p in (pose, tilted))
            assert more - below == pytest.approx(15)
            assert tilted.position == pose.position and tilted.fovy == pose.fovy
            assert tilted.heading == pytest.approx(pose.heading, abs=0.002)


def test_white_is_mixed_into_the_sky_alone():
    from benchmarks.envs import cameras
    from benchmarks.envs.compat import mujoco

    textures = "".join(
        f'<texture name="{name}" type="{kind}" width="8" height="8" builtin="flat" '
        'rgb1="0.2 0.4 1" rgb2="0.2 0.4 1"/>'
        for name, kind in (("floor", "2d"), ("sky", "skybox"))
    )
    model = mujoco.MjModel.from_xml_string(f"<mujoco><asset>{textures}</asset></mujoco>")
    before = model.tex_rgb.copy()
    cameras.whiten_sky(model, 0.5)
    floor, sky = model.tex_rgb[: 3 * 64].reshape(-1, 3), model.tex_rgb[3 * 64 :].reshape(-1, 3)
    np.testing.assert_array_equal(floor, before[: 3 * 64].reshape(-1, 3))
    assert len(sky) == 6 * 64
    assert np.unique(sky, axis=0).tolist() == [[153, 178, 255]]  # from 51, 102 and 255


def test_colours_of_floor_and_objects_are_in_the_simulators_model():
    def colours_of(name: str, strength: float, seed: int) -> dict[str, np.ndarray]:
        env = env_of(name, strength, "SafetyPointGoal2-v0")
        env.reset(seed=seed)
        model = base_of(env).simulator.physics[0]  # pyright: ignore[reportAttributeAccessIssue]
        return {model.geom(i).name: model.geom_rgba[i].copy() for i in range(model.ngeom)}

    plain = colours_of("floor_colour", 0.0, 0)
    half, full = (colours_of("object_colour", strength, 0) for strength in (0.5, 1.0))
    changed = {name for name in plain if not np.array_equal(plain[name], full[name])}
    kinds = ("goal", "hazard", "vase")
    assert changed == {name for name in plain if name.startswith(kinds)}
    for kind in kinds:
        of_kind = [name for name in plain if name.startswith(kind)]
        assert len({tuple(full[name][:3]) for name in of_kind}) == 1
        for name in of_kind:
            assert full[name][3] == plain[name][3]
            np.testing.assert_allclose(half[name], (plain[name] + full[name]) / 2, atol=1e-6)
    floor = colours_of("floor_colour", 1.0, 0)
    assert [n for n in plain if not np.array_equal(plain[n], floor[n])] == ["floor"]
    other = colours_of("floor_colour", 1.0, 1)["floor"]
    assert not np.array_equal(floor["floor"], other) and other[3] == 1.0


@pytest.mark.gl
@pytest.mark.slow  # five environments decode the sky's texture
def test_pictures_show_tilt_and_colours_from_the_first_on():
    def shown(name: str, strength: float) -> list[dict[str, np.ndarray]]:
        env = env_of(name, strength, obs="vision")
        first = env.reset(seed=SEED)[0]
        second = env.step(np.zeros(2, np.float32))[0]
        env.close()
        return [first, second]

    def horizon(picture: np.ndarray) -> int:
        """Number of rows that are night sky in most columns."""
        return int(((picture.max(-1) < 40).mean(1) > 0.5).sum())

    plain = shown("camera_tilt", 0.0)
    for mine, theirs in zip(plain, shown("camera_tilt", 30.0)):
        # the back camera is level and sees 90 degrees: half of the picture, then the part of it
        # above tan(30 degrees); the floor ends a little below the horizon
        assert 32 <= horizon(mine["image2"]) <= 36
        assert 13 <= horizon(theirs["image2"]) <= 18
    for mine, theirs in zip(plain, shown("sky_colour", 1.0)):
        assert (theirs["image2"][0] == 255).all() and (mine["image2"][0] < 100).all()
        below = np.abs(theirs["image2"][40:].astype(int) - mine["image2"][40:])
        assert below.mean() < 30  # the floor reflects the sky
    for mine, theirs in zip(plain, shown("floor_colour", 1.0)):
        np.testing.assert_array_equal(theirs["image2"][0], mine["image2"][0])
        assert np.abs(theirs["image2"][-1].astype(int) - mine["image2"][-1]).mean() > 10
    for mine, theirs in zip(plain, shown("object_colour", 1.0)):
        np.testing.assert_array_equal(theirs["image2"][0], mine["image2"][0])
        assert (theirs["image"] != mine["image"]).any() or (
            theirs["image2"] != mine["image2"]
        ).any()


def test_strengths_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match=r"strength 1\.5 must be a whole number"):
        env_of("sensor_delay", 1.5)
    with pytest.raises(ValueError, match=r"strength -0\.1 must be a number of at least 0"):
        env_of("sensor_noise", -0.1)
    with pytest.raises(ValueError, match="strength 2 must be at most 1"):
        env_of("friction", 2)
    with pytest.raises(ValueError, match=r"strength 1 must be at most 0.99"):
        env_of("goal_size", 1)
    with pytest.raises(ValueError, match=r"objects up to 4\.5 m from .* floor ends at 3\.5 m"):
        env_of("arena_larger", 2)
    with pytest.raises(ValueError, match="neither walls nor a speed limit cost"):
        env_of("cost_excess", 1)
    with pytest.raises(ValueError, match="only Safety-Gymnasium's navigation tasks render"):
        env_of("floor_colour", 1, "SafetyHopperVelocity-v1", "default")
    with pytest.raises(ValueError, match="exposes no MuJoCo model"):
        env_of("mass", 0.5, "benchmarks.faults.envs:nan_reward", "default")


def noise(strength: float) -> sensors.Noise:
    """The wrapper of a user's environment, without one: its observations have no named parts."""
    it = sensors.Noise.__new__(sensors.Noise)
    it.strength, it.rng, it.layout = strength, np.random.default_rng(5), {}
    it.begin()
    return it


def test_what_a_users_environment_calls_a_lidar_has_units_of_its_own():
    metres = np.full(1000, 30.0)
    seen = noise(0.1).observed({"front_lidar": metres})["front_lidar"]
    assert (seen - metres).std() == pytest.approx(0.1 * 30.0, rel=0.1)


def test_noise_is_the_same_for_every_strength():
    offsets = []
    for strength in (0.1, 0.2):
        it, value = noise(strength), np.ones(4)
        offsets.append((it.observed({"observation": value})["observation"] - value) / strength)
    np.testing.assert_allclose(*offsets)
