"""Pictures of the simulator and of the robot's cameras, from repeating an episode's actions in an
environment that renders.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.envs import EnvContractError, MissingGLError, episode_seed, make_env
from benchmarks.envs.cameras import OVERVIEW
from benchmarks.envs.simulators import Navigation
from benchmarks.runs.spec import BadInput, RunSpec
from benchmarks.tasks import Task, get_task
from benchmarks.video.traces import EpisodeTrace

FOLLOWED = ("Run", "Velocity")  # tasks whose robots leave the arena
TOLERANCE = 1e-4  # of a repeated step's reward and cost, relative and absolute


class Shot(NamedTuple):
    """The scene at one row: seen from outside, [H, W, 3], and by the robot's cameras, {name.

    [h, w, 3]}, none for some robots.
    """

    outside: np.ndarray
    cameras: dict[str, np.ndarray]


class Stage:
    """A rendering environment of the spec's task, whatever the agent observes.

    Raises BadInput, which names the remedy, where nothing can be rendered; use as a context
    manager.
    """

    def __init__(self, spec: RunSpec, size: int) -> None:
        task = get_task(spec.task)
        obs = "vision" if task.vision else spec.obs
        self._spec = spec
        try:
            self._env = make_env(
                task.id, obs, spec.loop.action_repeat, "rgb_array", _camera(task), size, size
            )
            self._env.reset(seed=0)
            picture = np.asarray(self._env.render())
        except (EnvContractError, MissingGLError) as error:
            raise BadInput(str(error)) from error
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
            raise BadInput(
                f"{spec.task}: render() gives {picture.dtype} {picture.shape}; let it return "
                "an array [height, width, 3] of uint8"
            )

    @property
    def heading(self) -> float:
        """Where the robot's front camera looks, radians to the left of its x axis.

        0 for robots without one.
        """
        simulator = self._env.simulator
        return simulator.heading if isinstance(simulator, Navigation) else 0.0

    def shots(self, trace: EpisodeTrace) -> Iterator[Shot]:
        """A shot of every row.

        Raises BadInput where the repeated episode is another one than the recorded.
        """
        rows = trace.rows
        obs, _ = self._env.reset(seed=episode_seed(self._spec.seed, "eval", trace.episode))
        yield self._shot(obs)
        for t, action in enumerate(rows["action"][:-1], 1):
            obs, reward, terminated, truncated, info = self._env.step(action)
            ended = bool(rows["is_last"][t])
            same = np.allclose(
                (reward, info["cost"]),
                (rows["reward"][t], rows["cost"][t]),
                rtol=TOLERANCE,
                atol=TOLERANCE,
            )
            if not same or (terminated or truncated) != ended:
                raise BadInput(
                    f"{self._spec.task}: episode {trace.episode} does not repeat itself (step "
                    f"{t}: reward {reward:g}, cost {info['cost']:g}; evaluated: "
                    f"{rows['reward'][t]:g}, {rows['cost'][t]:g}); a video needs an "
                    "environment that its seed and actions determine: draw every random number "
                    "from self.np_random"
                )
            yield self._shot(obs)

    def _shot(self, obs: dict[str, np.ndarray]) -> Shot:
        return Shot(
            np.asarray(self._env.render()),
            {name: value for name, value in obs.items() if value.ndim == 3},
        )

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.closing(self._env):
            pass


def _camera(task: Task) -> str | None:
    if task.custom:
        return None
    return "track" if task.name in FOLLOWED else OVERVIEW
