"""Single environments: observations, action repeat and scaling, seeding, users' environments, the
GL backend, refusals.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.envs import (
    EnvContractError,
    MissingGLError,
    compat,
    env_spec,
    episode_seed,
    errors,
    gl,
    make_env,
)
from tests.tree import ROOT

# makes toy_envs importable, like a module in a user's own folder
sys.path.insert(0, str(ROOT / "tests" / "fakes"))

import toy_envs

from benchmarks.envs.resize import resized

POINT = "SafetyPointGoal1-v0"


def random_actions(env, count, seed=0):
    return (
        np.random.default_rng(seed)
        .uniform(-1, 1, (count, *env.action_space.shape))
        .astype(np.float32)
    )


def world(env):
    """The simulator's own task object."""
    return env.simulator._task


# ---------------------------------------------------------------- coordinates


def test_layout_of_point_goal_is_the_releases():
    spec = env_spec(make_env(POINT, "coordinates", 5))
    assert spec.obs["observation"] == dataclasses.replace(
        spec.obs["observation"], shape=(29,), dtype="float32"
    )
    assert spec.layout == {
        "velocimeter": slice(0, 2),
        "accelerometer": slice(2, 3),
        "gyro": slice(3, 4),
        "magnetometer": slice(4, 7),
        "goal": slice(7, 9),
        "hazards": slice(9, 25),
        "rotation": slice(25, 27),
        "position": slice(27, 29),
    }
    assert (
        spec.action_dim,
        spec.action_repeat,
        spec.episode_env_steps,
        spec.episode_agent_steps,
    ) == (2, 5, 1000, 200)


@pytest.mark.parametrize(
    ("task", "size", "names"),
    [
        ("SafetyCarGoal1-v0", 29, {"goal", "hazards"}),
        ("SafetyRacecarGoal2-v0", 33, {"goal", "hazards"}),
        ("SafetyPointButton1-v0", 37, {"goal", "hazards", "buttons", "gremlins"}),
        ("SafetyCarPush2-v0", 31, {"goal", "hazards", "push_box", "pillars"}),
        ("SafetyPointCircle1-v0", 11, set()),
    ],
)
def test_coordinates_of_other_tasks(task, size, names):
    env = make_env(task, "coordinates", 1)
    obs, _ = env.reset(seed=0)
    assert obs["observation"].shape == (size,)
    sensors = {"velocimeter", "accelerometer", "gyro", "magnetometer", "rotation", "position"}
    assert set(env_spec(env).layout) == names | sensors
    assert max(part.stop for part in env_spec(env).layout.values()) == size
    spec = env_spec(env)
    assert spec.episode_env_steps == (500 if "Circle" in task else 1000)


@pytest.mark.parametrize(
    ("task", "costly", "theirs"),
    [
        ("SafetyPointGoal0-v0", (), set()),
        (POINT, ("hazards",), {"hazards"}),  # its vase has no cost
        (
            "SafetyPointGoal2-v0",
            ("hazards", "vases"),
            {"hazards", "vases_contact", "vases_velocity"},
        ),
        (
            "SafetyPointButton1-v0",
            ("buttons", "hazards", "gremlins"),
            {"buttons", "hazards", "gremlins"},
        ),
        ("SafetyCarPush1-v0", ("hazards",), {"hazards"}),
        ("SafetyCarPush2-v0", ("hazards", "pillars"), {"hazards", "pillars"}),
        ("SafetyPointCircle1-v0", ("sigwalls",), {"out_of_boundary"}),
        ("SafetyPointRun0-v0", ("sigwalls",), {"out_of_boundary"}),
        ("SafetyPointRace1-v0", ("hazards", "static_geoms"), {"hazards", "static_geoms_contact"}),
    ],
)
def test_what_costs_is_what_the_simulator_sums(task, costly, theirs):
    env = make_env(task, "coordinates")
    assert env_spec(env).costly == costly
    env.reset(seed=0)
    assert set(world(env).calculate_cost()) == {"cost_sum", *(f"cost_{name}" for name in theirs)}


@pytest.mark.parametrize(
    ("task", "size"), [(POINT, 0.2), ("SafetyCarPush1-v0", 0.3), ("SafetyPointGoal0-v0", 0.0)]
)
def test_hazard_size_is_the_distance_within_which_the_simulator_counts(task, size):
    """Place hazards so that the robot is just inside and just outside their radius."""
    env = make_env(task, "coordinates")
    assert env_spec(env).hazard_size == pytest.approx(size)
    env.reset(seed=0)
    hazards = [obstacle for obstacle in world(env)._obstacles if obstacle.name == "hazards"]
    assert bool(hazards) == (size > 0)
    for hazard in hazards:
        robot = world(env).agent.pos
        for distance, costs in ((size - 0.01, True), (size + 0.01, False)):
            world(env).data.body("hazard0").xpos[:2] = robot[:2] + np.array([distance, 0.0])
            for i in range(1, hazard.num):
                world(env).data.body(f"hazard{i}").xpos[:2] = robot[:2] + 5.0
            assert (hazard.cal_cost()["cost_hazards"] > 0.0) == costs


def test_what_costs_elsewhere():
    assert env_spec(make_env("SafetyHopperVelocity-v1", "lidar")).costly == ("velocity",)
    assert env_spec(make_env("toy_envs:counter", "default")).costly == ()  # not declared


def test_coordinates_by_hand():
    """Objects in the robot frame by plain trigonometry from the robot's heading, sensors from the
    simulator by name.
    """
    env = make_env(POINT, "coordinates", 1)
    env.reset(seed=1)
    layout = env_spec(env).layout
    for action in random_actions(env, 30):
        obs = env.step(action)[0]["observation"]
    task = world(env)
    x, y, _ = task.agent.pos
    heading = np.arctan2(task.agent.mat[1, 0], task.agent.mat[0, 0])
    for i, (hx, hy, _) in enumerate(task.hazards.pos):
        forward = np.cos(heading) * (hx - x) + np.sin(heading) * (hy - y)
        left = -np.sin(heading) * (hx - x) + np.cos(heading) * (hy - y)
        np.testing.assert_allclose(
            obs[layout["hazards"]].reshape(-1, 2)[i], [forward, left], atol=1e-5
        )
    distance = np.hypot(*(task.goal.pos[:2] - [x, y]))
    np.testing.assert_allclose(np.hypot(*obs[layout["goal"]]), distance, rtol=1e-5)
    np.testing.assert_allclose(
        obs[layout["rotation"]], [np.cos(heading), -np.sin(heading)], atol=1e-6
    )
    np.testing.assert_allclose(obs[layout["position"]], [x, y], rtol=1e-6)
    np.testing.assert_allclose(
        obs[layout["velocimeter"]], task.agent.get_sensor("velocimeter")[:2], rtol=1e-6
    )
    np.testing.assert_allclose(
        obs[layout["accelerometer"]], task.agent.get_sensor("accelerometer")[:1], rtol=1e-6
    )
    np.testing.assert_allclose(obs[layout["gyro"]], task.agent.get_sensor("gyro")[2:], rtol=1e-6)
    np.testing.assert_allclose(
        obs[layout["magnetometer"]], task.agent.get_sensor("magnetometer"), rtol=1e-6
    )


def test_cost_is_one_exactly_where_a_hazard_is_nearer_than_its_size():
    env = make_env(POINT, "coordinates", 1)
    hazards = env_spec(env).layout["hazards"]
    costs = []
    for seed in range(12):
        obs, _ = env.reset(seed=seed)
        size = world(env).hazards.size
        assert size == 0.2
        for _ in range(250):  # drive at the nearest hazard
            target = min(obs["observation"][hazards].reshape(-1, 2), key=lambda xy: np.hypot(*xy))
            obs, _, _, _, info = env.step(
                np.array([1.0, np.clip(2 * np.arctan2(target[1], target[0]), -1, 1)])
            )
            nearest = np.hypot(*obs["observation"][hazards].reshape(-1, 2).T).min()
            if abs(nearest - size) > 1e-6:  # float32 cannot resolve the side
                assert info["cost"] == float(nearest < size)
            costs.append(info["cost"])
    assert 100 < sum(costs) < len(costs) - 100  # both cases occurred


# ---------------------------------------------------------------- lidar, default, velocity


@pytest.mark.slow
def test_lidar_and_physics_are_those_of_safety_gymnasium():
    """Computing lidar only where observed and leaving out textures changes no bit of a result."""
    for task in (POINT, "SafetyCarButton1-v0", "SafetyRacecarPush1-v0"):
        theirs = compat.import_safety_gymnasium().make(task)
        ours = {obs: make_env(task, obs, 3) for obs in ("lidar", "coordinates")}
        for seed in (3, 4):
            expected, _ = theirs.reset(seed=seed)
            got, _ = ours["lidar"].reset(seed=seed)
            ours["coordinates"].reset(seed=seed)
            np.testing.assert_array_equal(got["observation"], expected.astype(np.float32))
            low, high = (
                theirs.action_space.low.astype(float),
                theirs.action_space.high.astype(float),
            )
            for action in random_actions(ours["lidar"], 20):
                native = (low + high) / 2 + (high - low) / 2 * action.astype(float)
                results = [theirs.step(native) for _ in range(3)]
                got, reward, _, _, info = ours["lidar"].step(action)
                same = ours["coordinates"].step(action)
                np.testing.assert_array_equal(got["observation"], results[-1][0].astype(np.float32))
                assert reward == same[1] == sum(float(result[1]) for result in results)
                assert (
                    info["cost"] == same[4]["cost"] == sum(float(result[2]) for result in results)
                )
                np.testing.assert_array_equal(
                    world(ours["coordinates"]).data.qpos, theirs.unwrapped.task.data.qpos
                )


def test_lidar_layout_is_named():
    env = make_env("SafetyCarGoal1-v0", "lidar", 1)
    obs, _ = env.reset(seed=0)
    layout = env_spec(env).layout
    expected = world(env)._obs_lidar(world(env).hazards.pos, 0)
    np.testing.assert_array_equal(
        obs["observation"][layout["hazards_lidar"]], expected.astype(np.float32)
    )


def test_velocity_task():
    env = make_env("SafetyAntVelocity-v1", "lidar", 2)
    obs, _ = env.reset(seed=0)
    assert obs["observation"].shape == (27,)
    assert env.step(np.zeros(8))[4]["env_steps"] == 2


# ---------------------------------------------------------------- actions, repeat, episode ends


@pytest.mark.parametrize(("repeat", "last"), [(3, 1), (7, 6), (5, 5)])
def test_repeat_stops_at_the_end_of_the_episode(repeat, last):
    env = make_env(POINT, "coordinates", repeat)
    env.reset(seed=0)
    steps = []
    truncated = False
    while not truncated:
        _, _, terminated, truncated, info = env.step(np.zeros(2))
        steps.append(info["env_steps"])
        assert not terminated
    assert sum(steps) == 1000
    assert set(steps[:-1]) <= {repeat}
    assert steps[-1] == last
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(2))


def test_short_episodes_of_circle_tasks():
    env = make_env("SafetyPointCircle1-v0", "lidar", 100)
    env.reset(seed=0)
    ends = [env.step(np.zeros(2))[3] for _ in range(5)]
    assert ends == [False] * 4 + [True]


def test_actions_are_scaled_to_the_simulators_box():
    env = make_env("toy_envs:counter", "default", 1)
    env.reset(seed=0)
    inner = env.simulator._env.unwrapped
    for action in ([-1, -1], [0, 0.5], [1, 1], [5, -5]):
        env.step(np.array(action))
    np.testing.assert_allclose(inner.actions[-4:], [[0, -3], [1, 0], [2, 1], [2, -3]])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([np.nan, 0.0], "is not finite"),
        ([0.0, np.inf], "is not finite"),
        ([0.0], r"shape \(1,\), this task takes \(2,\)"),
        ([[0.0, 0.0]], r"shape \(1, 2\)"),
    ],
)
def test_bad_actions(action, message):
    env = make_env("toy_envs:counter", "default", 1)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(np.array(action))


def test_bad_settings():
    with pytest.raises(ValueError, match="action_repeat=0"):
        make_env(POINT, "coordinates", 0)
    with pytest.raises(ValueError, match="render_mode='human'"):
        make_env(POINT, "coordinates", 1, render_mode="human")
    with pytest.raises(ValueError, match="has no observation"):
        make_env("SafetyAntVelocity-v1", "coordinates", 1)
    with pytest.raises(RuntimeError, match="render_mode="):
        make_env(POINT, "coordinates", 1).render()


# ---------------------------------------------------------------- seeding

FRESH = """
import sys
from benchmarks.envs import make_env
obs, _ = make_env("SafetyPointGoal1-v0", "coordinates", 5).reset(seed=int(sys.argv[1]))
print(obs["observation"].tobytes().hex())
"""


def test_same_seed_same_layout_in_a_fresh_process_and_after_an_episode():
    seed = episode_seed(0, "train", 3)
    env = make_env(POINT, "coordinates", 5)
    env.reset(seed=99)
    for action in random_actions(env, 20):
        env.step(action)
    obs, _ = env.reset(seed=seed)
    fresh = subprocess.run(
        [sys.executable, "-c", FRESH, str(seed)], capture_output=True, text=True, check=True
    )
    assert fresh.stdout.strip() == obs["observation"].tobytes().hex()
    other, _ = env.reset(seed=episode_seed(0, "train", 4))
    assert not np.array_equal(other["observation"], obs["observation"])


def test_episode_seeds():
    seeds = [
        episode_seed(run, split, i)
        for run in (0, 1, 2**40)
        for split in ("train", "eval")
        for i in range(200)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    # fixed: seeds are part of every published result
    assert episode_seed(0, "train", 0) == 2_044_266_242
    with pytest.raises(ValueError, match="unknown split 'test'"):
        episode_seed(0, "test", 0)
    with pytest.raises(ValueError, match="must not be negative"):
        episode_seed(-1, "train", 0)


def test_unseeded_resets_differ():
    env = make_env("toy_envs:counter", "default", 1)
    first, _ = env.reset()
    second, _ = env.reset()
    assert first["observation"][0] != second["observation"][0]


def test_refused_layout_is_replaced_by_another_with_a_warning():
    env = make_env(POINT, "coordinates", 1)
    accepted = env.simulator._env.reset
    tried = []

    def refuse_once(seed):
        tried.append(seed)
        assert len(tried) > 1, "World has starting cost!"
        return accepted(seed=seed)

    env.simulator._env.reset = refuse_once
    with pytest.warns(UserWarning, match="layout of seed 5 refused"):
        env.reset(seed=5)
    assert tried[0] == 5
    assert tried[1] != 5
    env.simulator._env.reset = lambda seed: (_ for _ in ()).throw(
        AssertionError("World has starting cost!")
    )
    with (
        pytest.warns(UserWarning),
        pytest.raises(RuntimeError, match="no valid layout in 5 attempts from seed 5"),
    ):
        env.reset(seed=5)


# ---------------------------------------------------------------- users' environments


def test_custom_environment():
    env = make_env("toy_envs:counter", "default", 3)
    obs, _ = env.reset(seed=0)
    assert obs["observation"].dtype == np.float32
    steps = [env.step(np.zeros(2)) for _ in range(3)]
    assert [step[1] for step in steps] == [3.0, 3.0, 1.0]
    assert [step[4] for step in steps] == [
        {"cost": 1.5, "env_steps": 3},
        {"cost": 1.5, "env_steps": 3},
        {"cost": 0.5, "env_steps": 1},
    ]
    assert [step[3] for step in steps] == [False, False, True]
    assert env_spec(env).episode_env_steps == 7


def test_custom_environment_with_safety_gymnasiums_six_values():
    env = make_env("toy_envs:six_values", "default", 2)
    env.reset(seed=0)
    assert env.step(np.zeros(2))[4]["cost"] == 0.5


def test_custom_environment_with_a_dict_of_observations():
    env = make_env("toy_envs:images_and_speed", "default", 2)
    spec = env_spec(env)
    assert {key: (part.shape, part.dtype) for key, part in spec.obs.items()} == {
        "camera": ((8, 6, 3), "uint8"),
        "speed": ((1,), "float32"),
    }
    env.reset(seed=0)
    obs = env.step(np.zeros(2))[0]
    assert (obs["camera"] == 2).all()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("no_cost", r'info\["cost"\] is missing \(info holds speed\)(.|\n)*info\["cost"\] = float'),
        ("no_time_limit", r"how long an episode is; wrap it: gymnasium.wrappers.TimeLimit"),
        ("discrete_actions", r"actions are discrete \(Discrete\(3\)\), and every method"),
        ("unbounded_actions", "finite low < high"),
        ("discrete_observations", "observation space must be a Box or a Dict"),
        ("wrong_shape", r"has shape \(2,\), its space says \(5,\)"),
        ("not_an_env", "must return a gymnasium.Env, not dict"),
    ],
)
def test_custom_environment_that_lacks_something(factory, message):
    with pytest.raises(EnvContractError, match=message):
        make_env(f"toy_envs:{factory}")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("toy_envz:counter", "no module 'toy_envz'"),
        ("toy_envs:countr", "did you mean counter"),
    ],
)
def test_custom_environment_that_is_not_there(task, message):
    with pytest.raises(ValueError, match=message):
        make_env(task)


@pytest.mark.parametrize("task", ["toy_envs:toy/Counter-v0", "toy/Counter-v0"])
def test_registered_environment(task):
    env = make_env(task, "default", 1, render_mode="rgb_array")
    assert env.simulator.episode_env_steps == 9
    assert env.simulator._env.render_mode == "rgb_array"  # reached the constructor
    env.reset(seed=1)
    assert env.step(np.zeros(2))[4]["cost"] == 0.5


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("toy/Count-v0", r"Count.* write module:toy/Count-v0 to import what registers it"),
        ("toy_envs:toy/Counter-v3", "Counter"),
        ("toy_envs:a/b/c", "or as a registered id, such as my_package:Nav-v0"),
    ],
)
def test_registered_environment_that_is_not_there(task, message):
    with pytest.raises(ValueError, match=message):
        make_env(task)


def test_factory_is_given_the_render_mode_that_it_takes():
    plain, rendered = (
        make_env("toy_envs:rendering", render_mode=mode) for mode in (None, "rgb_array")
    )
    assert plain.simulator._env.render_mode is None
    rendered.reset(seed=0)
    assert rendered.render().shape == (4, 6, 3)


def test_images_are_resized_to_means_of_areas():
    env = make_env("toy_envs:images_and_speed", resize=64)
    assert env.observation_space["camera"].shape == (64, 64, 3)
    assert env_spec(env).obs["camera"].shape == (64, 64, 3)
    env.reset(seed=0)
    obs, *_ = env.step(np.zeros(2))
    assert (obs["camera"] == 1).all() and obs["camera"].dtype == np.uint8
    assert obs["speed"].tolist() == [0.5]
    image = np.array([[[0], [30]], [[60], [90]]], np.uint8)
    assert resized(image, 1).ravel().tolist() == [45]
    assert resized(image, 4)[0].ravel().tolist() == [0, 0, 30, 30]
    # thirds of three pixels: (0 + 60 / 2) / 1.5 and (60 / 2 + 90) / 1.5
    row = np.array([[[0], [60], [90]]] * 3, np.uint8)
    assert resized(row, 2)[0].ravel().tolist() == [20, 80]


def test_resizing_where_there_is_nothing_to_resize():
    with pytest.raises(ValueError, match="observations observation hold none: leave it out"):
        make_env("toy_envs:counter", resize=64)
    with pytest.raises(ValueError, match=r"loop.resize=32 is for your own environments"):
        make_env("SafetyPointGoal1-v0", "lidar", resize=32)


def test_toy_module_is_the_one_that_make_env_loads():
    assert isinstance(make_env("toy_envs:counter").simulator._env.unwrapped, toy_envs.Counter)


# ---------------------------------------------------------------- compatibility, OpenGL


def test_dataclasses_is_put_back():
    compat.import_safety_gymnasium()
    with pytest.raises(ValueError, match="mutable default"):

        @dataclasses.dataclass
        class Refused:
            values: np.ndarray = np.zeros(2)

    assert dataclasses.dataclass.__module__ == "dataclasses"


def test_array_defaults_inside_the_context():
    with compat.array_defaults():

        @dataclasses.dataclass
        class Accepted:
            values: np.ndarray = np.arange(3)
            name: str = "a"

    assert Accepted().values.tolist() == [0, 1, 2]
    assert Accepted(name="b").name == "b"


@pytest.mark.parametrize(
    ("environ", "libraries", "backend"),
    [
        ({}, {"OSMesa", "EGL"}, "osmesa"),
        ({}, {"EGL"}, "egl"),
        ({}, set(), "disable"),
        ({"DISPLAY": ":0"}, {"OSMesa"}, None),
        ({"MUJOCO_GL": "egl"}, {"OSMesa"}, None),
    ],
)
def test_choice_of_the_gl_backend(environ, libraries, backend):
    assert (
        gl.default_gl_backend(environ, lambda name: name if name in libraries else None) == backend
    )


def run_without_gl(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    import os

    environ = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DISPLAY", "WAYLAND_DISPLAY", "PYOPENGL_PLATFORM")
    }
    return subprocess.run(
        [sys.executable, "-c", code], env={**environ, **variables}, capture_output=True, text=True
    )


@pytest.mark.slow
def test_without_gl_vision_names_packages_and_variable_and_coordinates_work():
    code = f"""
from benchmarks.envs import MissingGLError, make_env
make_env("{POINT}", "coordinates", 1).reset(seed=0)
try:
    make_env("{POINT}", "vision", 1).reset(seed=0)
except MissingGLError as error:
    print(error)
"""
    result = run_without_gl(code, MUJOCO_GL="disable")
    assert result.returncode == 0, result.stderr
    assert errors.GL_PACKAGES in result.stdout
    assert "MUJOCO_GL=osmesa" in result.stdout


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        (
            {"MUJOCO_GL": "osmesa", "PYOPENGL_PLATFORM": "egl"},
            "with MUJOCO_GL=osmesa (Cannot use OSMesa",
        ),
        ({"MUJOCO_GL": "foo"}, "with MUJOCO_GL=foo (invalid value"),
        ({"MUJOCO_GL": "", "DISPLAY": ":77"}, "with DISPLAY=:77 ("),
        ({"MUJOCO_GL": "", "WAYLAND_DISPLAY": "none"}, "with WAYLAND_DISPLAY=none ("),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_backend_that_cannot_be_used_is_explained_to_images_alone(variables, why):
    """The simulator works; the rendering error names the variable and the fix.

    Child processes inherit the user's own value.
    """
    code = """
import os
asked = os.environ["MUJOCO_GL"]
from benchmarks.envs import MissingGLError
from benchmarks.envs.cameras import Renderer, mujoco
assert os.environ["MUJOCO_GL"] == asked
model = mujoco.MjModel.from_xml_string("<mujoco/>")
mujoco.mj_step(model, mujoco.MjData(model))
try:
    Renderer(model, 8, 8)
except MissingGLError as error:
    print(error)
"""
    result = run_without_gl(code, **variables)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    name = list(variables)[-1] if "DISPLAY" in list(variables)[-1] else "MUJOCO_GL"
    assert result.stdout.startswith(f"no image can be drawn {why}")
    assert f"): unset {name}. " in result.stdout and result.stdout.count("\n") == 1
    assert errors.GL_PACKAGES in result.stdout
    assert issubclass(MissingGLError, RuntimeError)


# ---------------------------------------------------------------- vision


@pytest.mark.gl
@pytest.mark.slow
def test_images_are_those_of_safety_gymnasium_also_after_a_second_reset():
    """The second reset's model has no texture files, which must not show in the images.

    Camera poses are set on Safety-Gymnasium's model too.
    """
    from benchmarks.envs import cameras

    task = "SafetyCarButton1-v0"
    theirs = compat.import_safety_gymnasium().make(task)
    theirs.unwrapped.task.render_conf.lidar_markers = False
    env = make_env(task, "vision", 2)
    for seed in (3, 4):
        theirs.reset(seed=seed)
        obs, _ = env.reset(seed=seed)
        model, data = theirs.unwrapped.task.model, theirs.unwrapped.task.data
        for pose, key in zip(
            cameras.front_and_back(env.simulator._agent, model), ("image", "image2"), strict=True
        ):
            camera = model.camera("vision").id
            model.cam_pos[camera], model.cam_quat[camera] = pose.position, pose.quaternion
            model.cam_fovy[camera] = pose.fovy
            compat.mujoco.mj_camlight(model, data)
            expected = theirs.unwrapped.task.render(
                64, 64, mode="rgb_array", camera_name="vision", cost={}
            )
            assert obs[key].shape == (64, 64, 3)
            assert obs[key].dtype == np.uint8
            assert obs[key].std() > 20
            np.testing.assert_array_equal(obs[key], expected)


def test_points_front_camera_is_the_one_of_the_package():
    from benchmarks.envs import cameras

    env = make_env(POINT, "lidar", 1)
    env.reset(seed=0)
    camera = world(env).model.camera("vision")
    front, back = cameras.front_and_back("Point", world(env).model)
    np.testing.assert_allclose(camera.pos, front.position)
    np.testing.assert_allclose(camera.quat, front.quaternion, atol=1e-12)
    assert camera.fovy == front.fovy
    # A camera looks along its -z axis: forward and down, and level backwards.
    matrix = np.zeros(9)
    compat.mujoco.mju_quat2Mat(matrix, np.array(back.quaternion))
    np.testing.assert_allclose(-matrix.reshape(3, 3)[:, 2], [-1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("agent", "forward"), [("Point", [1, 0]), ("Car", [0, -1]), ("Racecar", [1, 0])]
)
def test_front_and_back_cameras_look_in_opposite_directions(agent, forward):
    from benchmarks.envs import cameras

    for pose, sign in zip(cameras.FRONT_AND_BACK[agent], (1, -1), strict=True):
        matrix = np.zeros(9)
        compat.mujoco.mju_quat2Mat(matrix, np.array(pose.quaternion))
        view = -matrix.reshape(3, 3)[:2, 2]
        np.testing.assert_allclose(view / np.linalg.norm(view), sign * np.array(forward), atol=2e-3)


@pytest.mark.gl
def test_robot_without_a_published_back_camera_looks_both_ways_in_every_frame():
    env = make_env("SafetyAntGoal1-v0", "vision", 1)
    first, _ = env.reset(seed=0)
    again = env.simulator.observe()
    np.testing.assert_array_equal(first["image"], again["image"])
    np.testing.assert_array_equal(first["image2"], again["image2"])
    assert not np.array_equal(first["image"], first["image2"])


@pytest.mark.parametrize("name", compat.DRAWING_STRUCTURES)
def test_arrays_of_drawing_structures_have_elements_of_their_own(name):
    structure = getattr(compat.mujoco, name)()
    arrays = {
        key: value
        for key in dir(structure)
        if isinstance(value := getattr(structure, key), np.ndarray)
    }
    assert arrays
    for key, array in arrays.items():
        numbers = np.arange(1, array.size + 1).reshape(array.shape)
        array[...] = numbers
        np.testing.assert_array_equal(getattr(structure, key), numbers)


@pytest.mark.gl
def test_pictures_show_what_the_agent_has_to_find_and_to_avoid():
    """MuJoCo hides the geom groups of goals, hazards and vases by default."""
    env = make_env(
        "SafetyPointGoal2-v0", "vision", 1, render_mode="rgb_array", height=128, width=128
    )
    env.reset(seed=0)
    red, green, blue = np.moveaxis(env.render().astype(int), -1, 0)
    assert ((green > red + 60) & (green > blue + 60)).sum() > 30  # the goal
    assert ((blue > red + 60) & (blue > green + 60)).sum() > 100  # hazards
    assert ((blue > red + 60) & (green > red + 60)).sum() > 30  # vases
    env.close()


@pytest.mark.gl
@pytest.mark.parametrize("task", [POINT, "SafetyHopperVelocity-v1"])
def test_render(task):
    env = make_env(task, "lidar", 1, render_mode="rgb_array", height=48, width=80)
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (48, 80, 3)
    assert picture.std() > 5
    env.close()


@pytest.mark.gl
@pytest.mark.slow
def test_environments_of_one_process_share_textures_and_see_their_own_scene(monkeypatch):
    from benchmarks.envs import cameras

    def scene(env) -> list[np.ndarray]:
        obs = [env.step(np.array([1.0, 0.3], np.float32))[0] for _ in range(2)]
        return [image for one in obs for image in one.values()]

    def made(seed: int):
        env = make_env(POINT, "vision", 5)
        env.reset(seed=seed)
        return env

    alone = []
    for seed in (0, 1):
        env = made(seed)
        alone.append(scene(env))
        env.close()
    key = (POINT, 64, 64, 0.0)
    assert key not in cameras.Renderer._by_key
    first, second = made(0), made(1)
    renderers = [env.unwrapped.simulator._renderer for env in (first, second)]
    assert renderers[0] is renderers[1]
    np.testing.assert_array_equal(scene(first), alone[0])
    first.close()
    first.close()
    np.testing.assert_array_equal(scene(second), alone[1])

    real = cameras.assets_of
    monkeypatch.setattr(cameras, "assets_of", lambda model: (*real(model), "a mesh of a wrapper"))
    own = made(0)
    assert own.unwrapped.simulator._renderer is not renderers[1]
    np.testing.assert_array_equal(scene(own), alone[0])
    for env in (own, second):
        env.close()
    assert key not in cameras.Renderer._by_key
