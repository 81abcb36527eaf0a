"""One simulator step at a time.

Navigation and velocity tasks of Safety-Gymnasium and users' environments, one interface.

Action repeat, action scaling and checks of the caller's input are in `make.py`. What is not asked
for is not computed: lidar only on the step whose observation is wanted, images only for observation
vision.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import benchmarks.envs.compat  # noqa: F401 (first: it prepares what Gymnasium imports)

# isort: split
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from benchmarks.envs import assets, cameras, custom, observations
from benchmarks.envs.compat import import_safety_gymnasium, mujoco, user_imports
from benchmarks.envs.errors import EnvContractError
from benchmarks.envs.facts import OVERVIEW
from benchmarks.envs.resize import Resize
from benchmarks.tasks import Obs, Task

IMAGE_SIZE = 64  # pixels; the release's vision presets
# Layouts tried before a reset gives up. None of 1350 over nine tasks was refused, but no run of 1e4
# episodes should die of one.
RESET_ATTEMPTS = 5
# odd, so that the seeds tried after a refused layout differ from each other and from neighbours
ATTEMPT_STRIDE = 0x9E3779B1


class View(NamedTuple):
    """What `render()` shows: the name of a camera and the size of the picture in pixels."""

    camera: str
    height: int
    width: int


class Simulator(Protocol):
    """One environment, stepped in its own units."""

    observation_space: Dict
    action_space: Box  # the simulator's own bounds
    episode_env_steps: int
    layout: Mapping[str, slice]
    costly: tuple[str, ...]  # names of what costs; empty where nothing does or it is unknown
    hazard_size: float  # metres within which a hazard costs; 0 without hazards

    def reset(self, seed: int | None) -> None:
        """Start an episode; with the same seed the same one, in any process."""
        ...

    def step(self, action: np.ndarray, observe: bool) -> custom.Transition:
        """One simulator step; its observation is had from `observe()`, and only after
        `observe=True` or an episode's end.
        """
        ...

    def observe(self) -> dict[str, np.ndarray]:
        """The observation after the last reset or step.

        Flat vectors in the simulator's own precision.
        """
        ...

    @property
    def heading(self) -> float:
        """Where the robot's front camera looks, radians to the left of its x axis.

        0 for robots without one. Known after a reset.
        """
        ...

    def render(self) -> np.ndarray:
        """A picture [H, W, 3] uint8."""
        ...

    def close(self) -> None:
        """Free what the simulator holds."""
        ...


def make_simulator(task: Task, obs: Obs, view: View | None, resize: int = 0) -> Simulator:
    """The simulator of a task; `view` None if nothing will be rendered for people.

    `resize` is the side of the images of a user's environment, 0 for their own.
    """
    if task.custom:
        return Custom(task, view, resize)
    if task.name == "Velocity":
        return Velocity(task, view)
    return Navigation(task, obs, view)


def flat_space(size: int) -> Dict:
    """The observation space of a flat vector."""
    return Dict({"observation": Box(-np.inf, np.inf, (size,), dtype=np.float32)})


def costly(task: Any) -> tuple[str, ...]:
    """Names of what costs in a task object of Safety-Gymnasium.

    Constrained obstacles, and touching what stands still.
    """
    names = [obstacle.name for obstacle in task._obstacles if obstacle.is_constrained]
    if task._is_load_static_geoms and task.static_geoms_contact_cost:
        names.append("static_geoms")
    return tuple(names)


class Navigation:
    """A task with a robot among objects (Goal, Button, Push, Circle, Run, ...)."""

    def __init__(self, task: Task, obs: Obs, view: View | None) -> None:
        package = import_safety_gymnasium()
        self._assets = assets.install(package.world)
        self._id, self._agent, self._obs, self._view = task.id, task.agent, obs, view
        self._env = package.make(task.id, disable_env_checker=True)
        self._task: Any = self._env.unwrapped.task
        self.costly = costly(self._task)
        self.hazard_size = next(
            (float(o.size) for o in self._task._obstacles if o.name == "hazards"), 0.0
        )
        self._simulator_obs = self._task.obs
        self._task.obs = self._obs_hook
        self._lidar_wanted = True
        self._lidar: np.ndarray | None = None
        self._renderer: cameras.Renderer | None = None
        self._poses: tuple[cameras.Pose, ...] = ()
        kinds = (
            observations.GOAL_TASK_OBJECTS
            if task.name == "Goal"
            else tuple(observations.OBJECT_BODIES)
        )
        self._coordinates = (
            observations.Coordinates(self._task, kinds) if obs == "coordinates" else None
        )
        self.layout: Mapping[str, slice] = {}
        if obs == "vision":
            image = Box(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
            self.observation_space = Dict({"image": image, "image2": image})
        elif self._coordinates is not None:
            self.layout = self._coordinates.layout
            self.observation_space = flat_space(self._coordinates.size)
        else:
            self.layout = observations.lidar_layout(self._task)
            self.observation_space = flat_space(int(np.prod(self._task.observation_space.shape)))
        self.action_space: Box = self._task.action_space
        self.episode_env_steps = custom.episode_steps(self._env) or self._task.num_steps

    def reset(self, seed: int | None) -> None:
        rendered = self._obs == "vision" or self._view is not None
        self._lidar_wanted = self._needs_lidar
        with (
            self._assets.texture_files(rendered and self._renderer is None),
            explain_missing_files(self._id),
        ):
            self._reset_simulator(seed)
        if rendered and self._renderer is None:
            height = max(IMAGE_SIZE, self._view.height if self._view else 0)
            width = max(IMAGE_SIZE, self._view.width if self._view else 0)
            self._renderer = cameras.Renderer(self._task.model, height, width)
        if self._obs == "vision":
            # before rendering moves the camera
            self._poses = cameras.front_and_back(self._agent, self._task.model)
        if self._coordinates is not None:
            self._coordinates.bind()

    def _reset_simulator(self, seed: int | None) -> None:
        """Reset, and again with seeds derived from `seed` while Safety-Gymnasium refuses the layout
        it drew.
        """
        refusal: AssertionError | None = None
        for attempt in range(RESET_ATTEMPTS):
            attempt_seed = None if seed is None else (seed + attempt * ATTEMPT_STRIDE) % 2**31
            try:
                self._env.reset(seed=attempt_seed)
                return
            except AssertionError as error:
                # the type it raises for "World has starting cost!" and for objects that do not fit
                refusal = error
                warnings.warn(
                    f"{self._id}: layout of seed {attempt_seed} refused ({error}); drawing another",
                    stacklevel=2,
                )
        raise RuntimeError(
            f"{self._id}: no valid layout in {RESET_ATTEMPTS} attempts from seed {seed}"
        ) from refusal

    @property
    def _needs_lidar(self) -> bool:
        return self._obs in ("lidar", "default")

    def _obs_hook(self) -> np.ndarray | None:
        """In place of the task's `obs`.

        Its lidar only where wanted, but always the forward pass that comes with it.

        The pass leaves the sensors current, and the contact solver where Safety-Gymnasium's next
        step would find it.
        """
        if self._lidar_wanted:
            self._lidar = self._simulator_obs()
            return self._lidar
        mujoco.mj_forward(self._task.model, self._task.data)
        self._lidar = None
        return None

    def step(self, action: np.ndarray, observe: bool) -> custom.Transition:
        self._lidar_wanted = observe and self._needs_lidar
        _, reward, cost, terminated, truncated, _ = self._env.step(action)
        return custom.Transition(
            None, float(reward), float(cost), bool(terminated), bool(truncated)
        )

    def observe(self) -> dict[str, np.ndarray]:
        if self._coordinates is not None:
            return {"observation": self._coordinates.read()}
        if self._obs == "vision":
            assert self._renderer is not None, "observed before the first reset"
            model, data = self._task.model, self._task.data
            front, back = (
                self._renderer.posed(model, data, pose, IMAGE_SIZE, IMAGE_SIZE)
                for pose in self._poses
            )
            return {"image": front, "image2": back}
        lidar = self._lidar if self._lidar is not None else self._simulator_obs()
        return {"observation": np.asarray(lidar)}

    @property
    def task(self) -> Any:
        """Safety-Gymnasium's task object."""
        return self._task

    @property
    def physics(self) -> tuple[Any, Any]:
        """MuJoCo's model and data, after a reset; every reset makes new ones."""
        return self._task.model, self._task.data

    @property
    def heading(self) -> float:
        assert self._poses, "asked before a reset of an environment with images"
        return self._poses[0].heading

    def render(self) -> np.ndarray:
        assert self._renderer is not None and self._view is not None, (
            "rendered before the first reset"
        )
        camera, height, width = self._view
        model, data = self._task.model, self._task.data
        if camera == OVERVIEW:
            return self._renderer.overview(
                model, data, max(map(abs, self._task.placements_conf.extents)), height, width
            )
        return self._renderer.named(model, data, camera, height, width)

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
        self._env.close()


class Velocity:
    """A MuJoCo robot of Gymnasium whose speed is limited.

    Its observation is the robot's own flat vector.
    """

    heading = 0.0

    def __init__(self, task: Task, view: View | None) -> None:
        options: dict[str, Any] = {}
        if view is not None:
            options = {
                "render_mode": "rgb_array",
                "camera_name": view.camera,
                "height": view.height,
                "width": view.width,
            }
        self._env: gymnasium.Env = import_safety_gymnasium().make(
            task.id, disable_env_checker=True, **options
        )
        shape = self._env.observation_space.shape
        assert shape is not None and isinstance(self._env.action_space, Box)
        self._last: Any = None
        self.layout: Mapping[str, slice] = {}
        self.costly: tuple[str, ...] = ("velocity",)
        self.hazard_size = 0.0
        self.observation_space = flat_space(shape[0])
        self.action_space: Box = self._env.action_space
        limit = custom.episode_steps(self._env)
        assert limit is not None, f"{task.id} is registered without a time limit"
        self.episode_env_steps = limit

    def reset(self, seed: int | None) -> None:
        self._last, _ = self._env.reset(seed=seed)

    def step(self, action: np.ndarray, observe: bool) -> custom.Transition:
        result: Any = self._env.step(action)
        self._last, reward, cost, terminated, truncated, _ = result
        return custom.Transition(
            None, float(reward), float(cost), bool(terminated), bool(truncated)
        )

    def observe(self) -> dict[str, np.ndarray]:
        return {"observation": np.asarray(self._last)}

    @property
    def physics(self) -> tuple[Any, Any]:
        """MuJoCo's model and data, the same in every episode."""
        robot: Any = self._env.unwrapped
        return robot.model, robot.data

    def render(self) -> np.ndarray:
        return np.asarray(self._env.render())

    def close(self) -> None:
        self._env.close()


class Custom:
    """A user's environment; probed by one step when it is made.

    Raises EnvContractError where it lacks something.
    """

    heading = 0.0

    def __init__(self, task: Task, view: View | None, resize: int = 0) -> None:
        self._name = task.id
        self._env = custom.load(task.id, None if view is None else "rgb_array")
        if view is not None and self._env.render_mode != "rgb_array":
            raise EnvContractError(
                f"task {task.id!r} is to be rendered, but its render_mode is "
                f"{self._env.render_mode!r}; "
                'let the factory take render_mode="rgb_array", or set it'
            )
        self.layout: Mapping[str, slice] = {}
        self.costly: tuple[str, ...] = ()
        self.hazard_size = 0.0
        declared = getattr(self._env, "observation_space", None)
        self.observation_space = custom.obs_space(task.id, declared)
        self.action_space = custom.box_actions(task.id, getattr(self._env, "action_space", None))
        contract = custom.obs_contract(declared, self.observation_space)
        self._check_obs = contract if isinstance(declared, Dict) else contract.single
        self._resize = Resize(resize) if resize else None
        if self._resize is not None:
            self.observation_space = self._resize.space(self.observation_space)
        steps = custom.episode_steps(self._env)
        if steps is None:
            raise EnvContractError(
                f"task {task.id!r} does not say how long an episode is; {custom.LENGTH_HELP}"
            )
        self.episode_env_steps = steps
        self._obs: dict[str, np.ndarray] = {}
        self._steps = 0
        with user_imports():  # some import only when they are first used
            self.reset(seed=0)
            middle = self.action_space.low / 2 + self.action_space.high / 2
            self.step(middle.astype(self.action_space.dtype), observe=True)

    def reset(self, seed: int | None) -> None:
        self._steps = 0
        with self._located(), custom.explain_reset():
            self._obs = self._check_obs(custom.started(self._env.reset(seed=seed)))

    def step(self, action: np.ndarray, observe: bool) -> custom.Transition:
        self._steps += 1
        with self._located(), custom.explain_wrapper():
            result = custom.transition(self._env.step(action.astype(self.action_space.dtype)))
            self._obs = self._check_obs(result.obs)
            if self._steps > self.episode_env_steps:
                raise EnvContractError(
                    "the episode goes on, but it was said to end after "
                    f"{self.episode_env_steps} steps"
                )
        return result

    @contextlib.contextmanager
    def _located(self) -> Iterator[None]:
        """Add task and simulator step to what an EnvContractError says; step 0 is the reset."""
        try:
            yield
        except EnvContractError as error:
            raise EnvContractError(f"task {self._name!r}, step {self._steps}: {error}") from error

    def observe(self) -> dict[str, np.ndarray]:
        return self._obs if self._resize is None else self._resize(self._obs)

    def render(self) -> np.ndarray:
        picture = np.asarray(self._env.render())
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
            raise EnvContractError(
                f"task {self._name!r}: render() gives {picture.dtype} {picture.shape}; let it "
                "return an array [height, width, 3] of uint8"
            )
        return picture

    def close(self) -> None:
        self._env.close()


@contextlib.contextmanager
def explain_missing_files(task_id: str) -> Iterator[None]:
    """Some meshes and textures are missing from the published package (1.0.0 on PyPI).

    Say so instead of naming one file.
    """
    try:
        yield
    except ValueError as error:
        if "file" not in str(error).lower():
            raise
        raise RuntimeError(
            f"{task_id} needs files that the published package safety-gymnasium 1.0.0 lacks "
            f"({error}); install that version from its source repository, with its assets "
            "folder, to use this task"
        ) from error
