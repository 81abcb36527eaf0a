"""Safety-Gymnasium's navigation tasks: Goal, Button, Push, Circle, Run, ..."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict

from benchmarks.envs import assets, cameras, custom, observations
from benchmarks.envs.compat import import_safety_gymnasium, mujoco
from benchmarks.envs.gl import OVERVIEW
from benchmarks.envs.simulators.simulator import View, flat_space
from benchmarks.tasks import Obs, Task

IMAGE_SIZE = 64  # pixels; the release's vision presets
# Layouts tried before a reset fails. None of 1350 over nine tasks was refused, but a single refusal
# must not end a run of 1e4 episodes.
RESET_ATTEMPTS = 5
# odd, so that the seeds tried after a refused layout differ from each other and from nearby seeds
ATTEMPT_STRIDE = 0x9E3779B1


def costly(task: Any) -> tuple[str, ...]:
    """Names of the cost sources in a Safety-Gymnasium task object.

    Constrained obstacles, and contact with static geoms.
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
        # image perturbations, set before the first reset: downward tilt in degrees, and share of
        # white in the sky
        self.camera_tilt = self.sky_white = 0.0
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
        height = max(IMAGE_SIZE, self._view.height if self._view else 0)
        width = max(IMAGE_SIZE, self._view.width if self._view else 0)
        key = (self._id, height, width, self.sky_white)
        if rendered and self._renderer is None:
            self._renderer = cameras.Renderer.shared(key)
        self._reset_simulator(seed, textures=rendered and self._renderer is None)
        if self._renderer and self._renderer.assets != cameras.assets_of(self._task.model):
            # a wrapper of this environment has added some
            self._renderer.close()
            self._renderer = None
            self._reset_simulator(seed, textures=True)
        if rendered and self._renderer is None:
            if self.sky_white:
                cameras.whiten_sky(self._task.model, self.sky_white)
            self._renderer = cameras.Renderer(self._task.model, height, width, key)
        if self._obs == "vision":
            # read before rendering moves the camera
            self._poses = cameras.front_and_back(self._agent, self._task.model)
            if self.camera_tilt:
                self._poses = tuple(cameras.tilted(p, self.camera_tilt) for p in self._poses)
        if self._coordinates is not None:
            self._coordinates.bind()

    def _reset_simulator(self, seed: int | None, textures: bool) -> None:
        """Reset, and load the files of textures or replace them; while Safety-Gymnasium refuses
        the layout it drew, retry with seeds derived from `seed`.
        """
        refusal: AssertionError | None = None
        for attempt in range(RESET_ATTEMPTS):
            attempt_seed = None if seed is None else (seed + attempt * ATTEMPT_STRIDE) % 2**31
            try:
                with self._assets.texture_files(textures), explain_missing_files(self._id):
                    self._env.reset(seed=attempt_seed)
                return
            except AssertionError as error:
                # raised for "World has starting cost!" and for objects that do not fit
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
        """Replaces the task's `obs`: computes lidar only when needed, but always runs its forward
        pass.

        The forward pass updates the sensors and leaves the contact solver in the state that
        Safety-Gymnasium's next step expects.
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
        """MuJoCo's model and data, after a reset; every reset creates new ones."""
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
            self._renderer = None  # others may use it, and this may be called repeatedly
        self._env.close()


@contextlib.contextmanager
def explain_missing_files(task_id: str) -> Iterator[None]:
    """Explain that the published package (1.0.0 on PyPI) lacks some meshes and textures, instead of
    naming a single file.
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
