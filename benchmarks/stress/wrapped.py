"""Base class of the wrappers that perturb an environment: the strength, and random numbers that
depend only on the episode's seed.

Wrappers run in the environment's process and import no learner.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import gymnasium
import numpy as np

from benchmarks.envs.make import base_of


class Perturbed(gymnasium.Wrapper):
    """An environment of `make_env` under a perturbation.

    Subclasses override `begin`, `observed`, `acted` and `costed`, which are not called at strength
    0, the undisturbed episode. `self.rng` is new in every episode and depends only on the episode's
    seed and the class name, so that a perturbation is the same for every policy, strength and
    restart.
    """

    whole = False  # whether the strength is an integer
    at_most = math.inf  # largest valid strength

    def __init__(self, env: gymnasium.Env, strength: float) -> None:
        super().__init__(env)
        name = type(self).__name__
        if not (np.isfinite(strength) and strength >= 0):
            raise ValueError(f"{name}: strength {strength} must be a number of at least 0")
        if self.whole and strength != int(strength):
            raise ValueError(f"{name}: strength {strength} must be a whole number")
        if strength > self.at_most:
            raise ValueError(f"{name}: strength {strength} must be at most {self.at_most:g}")
        self.strength = strength
        self.base = base_of(env)
        self.layout = self.base.simulator.layout
        self.rng = np.random.default_rng(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the episode of `seed`; without a seed, one is drawn as in the environment."""
        obs, info = self.env.reset(seed=seed, options=options)
        if seed is None:
            seed = int(self.env.unwrapped.np_random.integers(2**31))
        self.rng = np.random.default_rng([seed, zlib.crc32(type(self).__name__.encode())])
        if not self.strength:
            return obs, info
        self.begin()
        return self.observed(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one agent step with perturbed action, observation and cost."""
        if not self.strength:
            return self.env.step(action)
        acted = self.acted(np.asarray(action, np.float32))
        obs, reward, terminated, truncated, info = self.env.step(acted)
        info = info | {"cost": self.costed(info["cost"], terminated or truncated)}
        return self.observed(obs), reward, terminated, truncated, info

    def begin(self) -> None:
        """Prepare an episode, after the environment's reset."""

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The observation shown to the policy, with the shapes and dtypes of `obs`."""
        return obs

    def acted(self, action: np.ndarray) -> np.ndarray:
        """The action [A] to take instead of the policy's; clipped to [-1, 1] afterwards."""
        return action

    def costed(self, cost: float, last: bool) -> float:
        """The cost reported for an agent step with cost `cost`; `last` ends the episode."""
        return cost


def vectors(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The flat arrays of an observation."""
    return {name: value for name, value in obs.items() if value.ndim == 1}


def images(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The images [H, W, C] of an observation."""
    return {name: value for name, value in obs.items() if value.ndim == 3}
