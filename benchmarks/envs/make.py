"""`make_env`: any task as a Gymnasium environment, with actions in [-1, 1], action repeat and the
cost in `info["cost"]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from benchmarks.envs.compat import user_imports  # (first: it prepares what Gymnasium imports)

# isort: split
import gymnasium
import numpy as np
from gymnasium.spaces import Box

from agents.api import ArraySpec, EnvSpec
from benchmarks.envs.errors import EnvContractError
from benchmarks.envs.simulators.navigation import IMAGE_SIZE, Navigation
from benchmarks.envs.simulators.simulator import Simulator, View
from benchmarks.envs.simulators.users import Custom
from benchmarks.envs.simulators.velocity import Velocity
from benchmarks.runs.references import load_object
from benchmarks.tasks import Obs, Task, get_task


class SafeEnv(gymnasium.Env):
    """A task with action repeat.

    `step` returns the observation after the last simulator step, the sums of reward and cost over
    the simulator steps taken, and `info` with `cost` (float) and `env_steps`, which is less than
    `action_repeat` if the episode ended early. Actions are clipped to [-1, 1], as in the release.
    """

    def __init__(self, simulator: Simulator, action_repeat: int, render_mode: str | None) -> None:
        self.simulator = simulator
        self.action_repeat = action_repeat
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"]}
        box = simulator.action_space
        low, high = box.low.astype(np.float64), box.high.astype(np.float64)
        # halved before adding: sums of bounds may overflow
        self._middle, self._half = low / 2 + high / 2, high / 2 - low / 2
        self._running = False
        self.observation_space = simulator.observation_space
        self.action_space = Box(-1.0, 1.0, box.shape, dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start an episode; the same seed gives the same episode in any process.

        Without a seed, one is drawn from `self.np_random`.
        """
        super().reset(seed=seed)
        self.simulator.reset(int(self.np_random.integers(2**31)) if seed is None else int(seed))
        self._running = True
        return self._observation(), {"cost": 0.0, "env_steps": 0}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Take `action` [A] for `action_repeat` simulator steps.

        Raises ValueError for a wrong shape or a non-finite action.
        """
        if not self._running:
            raise RuntimeError("the episode has ended or not begun; call reset()")
        native = self._native_action(action)
        reward = cost = 0.0
        terminated = truncated = False
        env_steps = 0
        while env_steps < self.action_repeat and not (terminated or truncated):
            result = self.simulator.step(native, observe=env_steps == self.action_repeat - 1)
            env_steps += 1
            reward += result.reward
            cost += result.cost
            terminated, truncated = result.terminated, result.truncated
        self._running = not (terminated or truncated)
        return (
            self._observation(),
            reward,
            terminated,
            truncated,
            {"cost": cost, "env_steps": env_steps},
        )

    def _observation(self) -> dict[str, np.ndarray]:
        spaces = self.simulator.observation_space.spaces
        return {
            key: np.asarray(value, spaces[key].dtype)
            for key, value in self.simulator.observe().items()
        }

    def _native_action(self, action: np.ndarray) -> np.ndarray:
        array = np.asarray(action, np.float64)
        if array.shape != self.action_space.shape:
            raise ValueError(
                f"action has shape {array.shape}, this task takes {self.action_space.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"action {array.tolist()} is not finite; look for a NaN in the policy that chose it"
            )
        return self._middle + self._half * np.clip(array, -1.0, 1.0)

    def render(self) -> np.ndarray:
        """An image [H, W, 3] uint8 from the camera given to `make_env`."""
        if self.render_mode is None:
            raise RuntimeError('pass render_mode="rgb_array" to make_env to render pictures')
        return self.simulator.render()

    def close(self) -> None:
        """Free simulator and renderer."""
        self.simulator.close()


def make_simulator(task: Task, obs: Obs, view: View | None, resize: int = 0) -> Simulator:
    """The simulator of a task; `view` is None if `render()` is not used."""
    if task.custom:
        return Custom(task, view, resize)
    if task.name == "Velocity":
        return Velocity(task, view)
    return Navigation(task, obs, view)


def make_env(
    task: str,
    obs: str = "default",
    action_repeat: int = 1,
    render_mode: str | None = None,
    camera: str | None = None,
    height: int = 256,
    width: int = 256,
    resize: int = 0,
) -> SafeEnv:
    """Make the environment of a Safety-Gymnasium task id or of a user's own task.

    Args:
        task: see `benchmarks.tasks`.
        obs: "vision": `image` and `image2` (front and back camera), uint8 [64, 64, 3];
            "coordinates" or "lidar": `observation`, float32 [D], see `observations.py`; "default":
            the simulator's own flat observation, the same as "lidar" for navigation tasks.
        action_repeat: simulator steps per action.
        render_mode: "rgb_array" to enable `render()`. A user's environment is made with it.
        camera: camera of the model that `render()` uses (default "fixedfar", "track" for velocity
            tasks; navigation tasks also have "overview", the whole arena from above).
        height, width: size of the rendered image in pixels.
        resize: side in pixels to which images of a user's environment are resized; 0 keeps them.
    Raises:
        ValueError: unknown task, observation, render mode, or a repeat below 1.
        MissingGLError: images are requested and OpenGL is missing (at the first reset).
        EnvContractError: a user's environment breaks the environment contract.
    """
    found = get_task(task)
    checked = found.check_obs(obs)
    if action_repeat < 1:
        raise ValueError(f"action_repeat={action_repeat} must be at least 1")
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f'render_mode={render_mode!r} must be None or "rgb_array"')
    if resize and not found.custom:
        raise ValueError(
            f"loop.resize={resize} is for your own environments: images of {task} are rendered "
            f"at {IMAGE_SIZE}x{IMAGE_SIZE}"
        )
    if camera is None:
        camera = "track" if found.name == "Velocity" else "fixedfar"
    view = None if render_mode is None else View(camera, height, width)
    return SafeEnv(make_simulator(found, checked, view, resize), action_repeat, render_mode)


def make_wrapped(wrappers: Iterable[tuple[str, float]] = (), **settings: Any) -> gymnasium.Env:
    """Make the environment of `make_env(**settings)` inside wrappers, the first one innermost.

    Each wrapper is a pair of `module:factory` and the number in factory(env, number); wrappers must
    keep the spaces. Raises ValueError for an unknown wrapper, EnvContractError for one that cannot
    be called like that or returns something else, and whatever `make_env` raises.
    """
    env: gymnasium.Env = make_env(**settings)
    for name, number in wrappers:
        with user_imports():
            factory = load_object("wrapper", name)
        env = _called(name, factory, env, number)
    return env


def _called(name: str, factory: Any, env: gymnasium.Env, number: float) -> gymnasium.Env:
    try:
        inspect.signature(factory).bind(env, number)
    except TypeError as error:  # also for what is not callable
        raise EnvContractError(
            f"wrapper {name!r} must name a class or function that is called as "
            f"factory(env, strength) ({error})"
        ) from error
    except ValueError:  # some callables have no signature to read
        pass
    made = factory(env, number)
    if not (isinstance(made, gymnasium.Env) and isinstance(made.unwrapped, SafeEnv)):
        raise EnvContractError(
            f"wrapper {name!r} must return a gymnasium.Env around the one that it is called with, "
            f"not {type(made).__name__}"
        )
    return made


def base_of(env: gymnasium.Env) -> SafeEnv:
    """The environment made by `make_env`, without a user's wrappers."""
    base = env.unwrapped
    if not isinstance(base, SafeEnv):
        raise TypeError(f"expected an environment made by make_env, got {type(base).__name__}")
    return base


def heading(env: gymnasium.Env) -> float:
    """Viewing direction of the robot's front camera; see `Simulator.heading`."""
    return base_of(env).simulator.heading


def env_spec(env: gymnasium.Env) -> EnvSpec:
    """Spec of an environment made by `make_env`, which agents are built from."""
    base = base_of(env)
    assert base.action_space.shape is not None
    spaces = base.simulator.observation_space.spaces
    return EnvSpec(
        obs={
            key: ArraySpec(tuple(space.shape or ()), str(space.dtype))
            for key, space in spaces.items()
        },
        action_dim=base.action_space.shape[0],
        action_repeat=base.action_repeat,
        episode_env_steps=base.simulator.episode_env_steps,
        layout=dict(base.simulator.layout),
        costly=base.simulator.costly,
        hazard_size=base.simulator.hazard_size,
    )
