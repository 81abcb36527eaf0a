"""Valid and invalid user environments for tests; importable as `toy_envs:factory`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class Counter(gymnasium.Env):
    """Observes its seed's first random number and the number of steps.

    Reward 1 and cost 0.5 per step.
    """

    def __init__(self, last: int = 10**9) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,), dtype=np.float64)
        self.action_space = Box(np.array([0.0, -3.0]), np.array([2.0, 1.0]), dtype=np.float64)
        self.last = last
        self.actions: list[np.ndarray] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.mark = 0, self.np_random.random()
        return np.array([self.mark, 0.0]), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.actions.append(action)
        return np.array([self.mark, self.steps]), 1.0, self.steps >= self.last, False, {"cost": 0.5}


def counter() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Counter(), 7)


def terminating() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Counter(last=4), 7)


def no_time_limit() -> gymnasium.Env:
    return Counter()


def no_cost() -> gymnasium.Env:
    class NoCost(Counter):
        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            obs, reward, terminated, truncated, _ = super().step(action)
            return obs, reward, terminated, truncated, {"speed": 1.0}

    return gymnasium.wrappers.TimeLimit(NoCost(), 7)


class SixValues(Counter):
    """Returns the cost as Safety-Gymnasium does, as one of six values."""

    spec = None

    def step(self, action: np.ndarray) -> Any:
        obs, reward, terminated, _, _ = super().step(action)
        return obs, reward, 0.25, terminated, self.steps >= 7, {}


def six_values() -> gymnasium.Env:
    env = SixValues()
    env.spec = gymnasium.envs.registration.EnvSpec("SixValues-v0", max_episode_steps=7)
    return env


def images_and_speed() -> gymnasium.Env:
    class Images(Counter):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = Dict(
                {"camera": Box(0, 255, (8, 6, 3), dtype=np.uint8), "speed": Box(-1, 1, (1,))}
            )

        def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
            super().reset(**options)
            return self.pair(), {}

        def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            _, *rest = super().step(action)
            return self.pair(), *rest

        def pair(self) -> dict[str, np.ndarray]:
            return {"camera": np.full((8, 6, 3), self.steps, np.uint8), "speed": np.array([0.5])}

    return gymnasium.wrappers.TimeLimit(Images(), 7)


def discrete_actions() -> gymnasium.Env:
    env = Counter()
    env.action_space = Discrete(3)
    return gymnasium.wrappers.TimeLimit(env, 7)


def unbounded_actions() -> gymnasium.Env:
    env = Counter()
    env.action_space = Box(-np.inf, np.inf, (2,), dtype=np.float64)
    return gymnasium.wrappers.TimeLimit(env, 7)


def discrete_observations() -> gymnasium.Env:
    env = Counter()
    env.observation_space = Discrete(3)
    return gymnasium.wrappers.TimeLimit(env, 7)


def wrong_shape() -> gymnasium.Env:
    env = Counter()
    env.observation_space = Box(-np.inf, np.inf, (5,), dtype=np.float64)
    return gymnasium.wrappers.TimeLimit(env, 7)


def not_an_env() -> dict[str, int]:
    return {}


class Failing(Counter):
    """Raises on the third step of an episode, after the probe."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.steps == 2:
            raise ArithmeticError("the wheel came off")
        return super().step(action)


def failing() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Failing(), 7)


class Hanging(Counter):
    """Never returns from its third step."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self.steps == 2:
            import time

            time.sleep(3600)
        return super().step(action)


def hanging() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Hanging(), 7)


class NeverStarting(Counter):
    """Can be created and probed, but no episode can be started afterwards."""

    def reset(self, **options: Any) -> tuple[np.ndarray, dict[str, Any]]:
        if options.get("seed"):  # the probe uses 0
            raise LookupError("no such floor")
        return super().reset(**options)


def never_starting() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(NeverStarting(), 7)


class Rendering(Counter):
    """Renders according to its render_mode."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self) -> np.ndarray:
        return np.zeros((4, 6, 3), np.uint8)


def rendering(render_mode: str | None = None) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Rendering(render_mode), 7)


gymnasium.register("toy/Counter-v0", entry_point=Rendering, max_episode_steps=9)
