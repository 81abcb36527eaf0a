"""Renders the simulator and the robot's cameras by replaying an episode's actions in a rendering
environment, under the interpreter that the user chose for environments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks.envs import EnvContractError, EnvFactory, MissingGLError, episode_seed
from benchmarks.envs.factory import chosen_python
from benchmarks.envs.gl import OVERVIEW
from benchmarks.envs.worker import MAKE_SECONDS, make_request, single_worker
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import ENV_TIMEOUT_SECONDS, RunSpec
from benchmarks.tasks import Task, get_task
from benchmarks.training.traces import EpisodeTrace

FOLLOWED = ("Run", "Velocity")  # tasks whose robots leave the arena
TOLERANCE = 1e-4  # for reward and cost of a replayed step, relative and absolute


class Shot(NamedTuple):
    """The scene at one row: from outside, [H, W, 3], and from the robot's cameras, {name:
    [h, w, 3]}, empty for some robots.
    """

    outside: np.ndarray
    cameras: dict[str, np.ndarray]


class Stage:
    """A rendering environment of the spec's task, whatever the agent observes.

    Use as a context manager. Raises BadInput, with the fix, if nothing can be rendered.
    """

    def __init__(self, spec: RunSpec, size: int) -> None:
        task = get_task(spec.task)
        obs = "vision" if task.vision else spec.obs
        self._spec = spec
        repeat, resize, python = spec.loop.action_repeat, spec.loop.resize, chosen_python()
        view = "rgb_array", _camera(task), size, size
        make = EnvFactory(task.id, obs, repeat, *view, resize=resize, python=python)
        self._worker = single_worker(make)
        try:
            self._ask(*make_request(make), timeout_seconds=MAKE_SECONDS)
            self._ask("reset", 0)
            self._ask("render")
            # direction of the robot's front camera, radians to the left of its x axis; 0 without
            self.heading: float = self._ask("heading")
        except BaseException as error:
            self._worker.close()
            if isinstance(error, EnvContractError | MissingGLError):
                raise BadInput(str(error)) from error
            raise

    def _ask(self, *request: Any, timeout_seconds: float = ENV_TIMEOUT_SECONDS) -> Any:
        self._worker.send(request)
        return self._worker.receive(timeout_seconds)

    def shots(self, trace: EpisodeTrace) -> Iterator[Shot]:
        """Yield a shot of every row.

        Raises BadInput if the replayed episode differs from the recorded one.
        """
        rows = trace.rows
        obs = self._ask("reset", episode_seed(self._spec.seed, "eval", trace.episode))
        yield self._shot(obs)
        for t, action in enumerate(rows["action"][:-1], 1):
            obs, reward, terminated, truncated, info = self._ask("step", action)
            ended = bool(rows["is_last"][t])
            now, then = (reward, info["cost"]), (rows["reward"][t], rows["cost"][t])
            same = np.allclose(now, then, rtol=TOLERANCE, atol=TOLERANCE)
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
        images = {name: value for name, value in obs.items() if value.ndim == 3}
        return Shot(self._ask("render"), images)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()


def _camera(task: Task) -> str | None:
    if task.custom:
        return None
    return "track" if task.name in FOLLOWED else OVERVIEW
