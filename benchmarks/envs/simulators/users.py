"""A user's own environment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
from gymnasium.spaces import Dict

from benchmarks.envs import custom
from benchmarks.envs.compat import user_imports
from benchmarks.envs.errors import EnvContractError
from benchmarks.envs.resize import Resize
from benchmarks.envs.simulators.simulator import View
from benchmarks.tasks import Task


class Custom:
    """A user's environment; its constructor probes it with one step.

    Raises EnvContractError if it breaks the environment contract.
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
        with user_imports():  # some environments import their simulator on first use
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
                    "the episode continues, but was declared to end after "
                    f"{self.episode_env_steps} steps"
                )
        return result

    @contextlib.contextmanager
    def _located(self) -> Iterator[None]:
        """Add task and simulator step to an EnvContractError; step 0 is the reset."""
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
