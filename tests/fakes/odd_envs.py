"""User environments that violate the contract, each in one way.

Importable as `tests.fakes.odd_envs:factory`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

T_ODD = 7  # simulator step at which the fault occurs
SIZE = 20


class Base(gymnasium.Env):
    """Valid: three numbers in -1..1, a cost of 0 or 1."""

    render_mode = "rgb_array"
    observation_space: Any = Box(-1, 1, (3,), dtype=np.float32)
    action_space: Any = Box(-1, 1, (2,), dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t, self.x = 0, self.np_random.uniform(-1, 1, 3)
        return self.obs(), {}

    def obs(self) -> Any:
        return self.x.astype(np.float32)

    def result(self) -> Any:
        return self.obs(), -abs(float(self.x[0])), False, False, {"cost": float(self.x[1] > 0.5)}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.x[:2] = np.clip(self.x[:2] + 0.1 * np.asarray(action, float)[:2], -1, 1)
        return self.result()


def limited(env: gymnasium.Env, steps: int = SIZE) -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(env, steps)


def plain() -> gymnasium.Env:
    return limited(Base())


def odd(
    change: Callable[[Base, list[Any]], Any], at: int = T_ODD, space: Any = None
) -> Callable[[], gymnasium.Env]:
    """Factory of a `Base` whose `step` passes [obs, reward, terminated, truncated, info] through
    `change` from step `at` on.
    """

    class Odd(Base):
        def result(self) -> Any:
            values = list(super().result())
            if self.t < at:
                return tuple(values)
            return change(self, values)

    if space is not None:
        Odd.observation_space = space
    return lambda: limited(Odd())


def put(index: int, value: Any) -> Callable[[Base, list[Any]], Any]:
    """Replace one of the five values of `step`."""

    def change(env: Base, values: list[Any]) -> Any:
        del env
        values[index] = value
        return tuple(values)

    return change


def cost(value: Any) -> Callable[[Base, list[Any]], Any]:
    return put(4, {"cost": value})


NUMBERS = {"nan": np.nan, "inf": np.inf, "minus_inf": -np.inf, "huge": 1e40}
WRONG_KINDS = {
    "none": None,
    "text": "1.0",
    "list": [1.0],
    "vector": np.ones(1),
    "complex": 1j,
    "dict": {"a": 1.0},
    "decimal": Decimal(1),
}

# name -> (factory, pattern of the error message)
CASES: dict[str, tuple[Callable[[], gymnasium.Env], str]] = {}
for _name, _value in NUMBERS.items():
    CASES[f"reward_{_name}"] = (
        odd(put(1, _value)),
        "the reward must be finite .* got " + str(float(_value)).replace("+", r"\+"),
    )
    CASES[f"cost_{_name}"] = odd(cost(_value)), "the cost must be finite .* got "
    CASES[f"obs_{_name}"] = (
        odd(put(0, np.array([0.0, _value, 0.0]))),
        r"observation 'observation'\[1\] is " + (str(float(_value)).replace("+", r"\+")),
    )
for _name, _value in WRONG_KINDS.items():
    CASES[f"reward_{_name}"] = (
        odd(put(1, _value)),
        f"the reward must be one number .* got {type(_value).__name__}",
    )
    CASES[f"cost_{_name}"] = (
        odd(cost(_value)),
        f"the cost must be one number .* got {type(_value).__name__}",
    )
    CASES[f"terminated_{_name}"] = (
        odd(put(2, _value)),
        f"terminated must be True or False .* got {type(_value).__name__}",
    )
CASES |= {
    "truncated_text": (odd(put(3, "no")), "truncated must be True or False .* got str 'no'"),
    "terminated_two": (odd(put(2, 2)), "terminated must be True or False .* got int 2"),
    "terminated_half": (odd(put(2, 0.5)), "terminated must be True or False .* got float 0.5"),
    "cost_negative": (odd(cost(-0.5)), "the cost must not be negative, got -0.5"),
    "cost_missing": (
        odd(put(4, {"speed": 1.0})),
        r'info\["cost"\] is missing \(info holds speed\).*six values',
    ),
    "info_none": (odd(put(4, None)), "the info of step must be a dict, got NoneType"),
    "four_values": (
        odd(lambda env, values: tuple(values[:4])),
        "expects five values of step.*SafeTimeLimit.*got 4",
    ),
    "no_values": (
        odd(lambda env, values: None),
        "expects five values of step.*cannot unpack non-iterable NoneType",
    ),
    "obs_out_of_bounds": (
        odd(put(0, np.full(3, 1.5))),
        r"observation 'observation'\[0\] is 1.5, outside .* -1\S* to 1",
    ),
    "obs_longer": (
        odd(put(0, np.zeros(4))),
        r"observation 'observation' has shape \(4,\), its space says \(3,\)",
    ),
    "obs_ragged": (odd(put(0, [[0.0], [0.0, 1.0]])), "observation 'observation' must hold float32"),
    "obs_text": (odd(put(0, ["a", "b", "c"])), "observation 'observation' must hold float32"),
    "obs_none": (odd(put(0, None)), "observation 'observation' must hold float32"),
    "obs_complex": (
        odd(put(0, np.zeros(3, complex))),
        "observation 'observation' must hold float32.*got complex128",
    ),
    "obs_dict": (
        odd(put(0, {"observation": np.zeros(3)})),
        "observation 'observation' must hold float32",
    ),
}

PAIR = Dict(pos=Box(-1, 1, (3,), dtype=np.float32), cam=Box(0, 255, (64, 64, 3), dtype=np.uint8))


def pair(**change: Any) -> Callable[[], gymnasium.Env]:
    """A position and an image; from step T_ODD on with `change`, where None removes a key."""

    class Pair(Base):
        observation_space = PAIR

        def obs(self) -> Any:
            parts = {
                "pos": self.x.astype(np.float32),
                "cam": np.full((64, 64, 3), 10 * self.t, np.uint8),
            }
            if self.t >= T_ODD:
                parts |= change
            return {key: value for key, value in parts.items() if value is not None}

    return lambda: limited(Pair())


CASES |= {
    "key_missing": (
        pair(cam=None),
        "the observation has the keys pos, its space declares cam, pos",
    ),
    "key_more": (
        pair(extra=np.zeros(1)),
        "the observation has the keys cam, extra, pos, its space declares cam, pos",
    ),
    "pos_nan": (
        pair(pos=np.array([np.nan, 0, 0])),
        r"observation 'pos'\[0\] is nan: it must be finite",
    ),
    "image_floats": (
        pair(cam=np.full((64, 64, 3), 0.5)),
        "observation 'cam' must hold uint8.* got float64.*255",
    ),
    "image_whole_floats": (
        pair(cam=np.zeros((64, 64, 3))),
        "observation 'cam' must hold uint8.* got float64",
    ),
    "image_nan": (pair(cam=np.full((64, 64, 3), np.nan)), "observation 'cam' must hold uint8"),
    "image_256": (
        pair(cam=np.full((64, 64, 3), 256)),
        r"observation 'cam'\[0, 0, 0\] is 256, outside .* 0 to 255",
    ),
    "image_negative": (
        pair(cam=np.full((64, 64, 3), -1)),
        r"observation 'cam'\[0, 0, 0\] is -1, outside",
    ),
    "image_smaller": (
        pair(cam=np.zeros((32, 64, 3), np.uint8)),
        r"observation 'cam' has shape \(32, 64, 3\)",
    ),
    "not_a_dict": (
        odd(put(0, np.zeros(3)), space=PAIR, at=0),
        "the observation must be a dict with the keys cam, pos, got ndarray",
    ),
}


class Six(Base):
    """`step` returns six values, as in Safety-Gymnasium."""

    def result(self) -> Any:
        obs, reward, terminated, truncated, info = super().result()
        return obs, reward, info["cost"], terminated, truncated, {}


def six_in_time_limit() -> gymnasium.Env:
    return limited(Six())


class OldReset(Base):
    """`reset` returns only the observation, whose two numbers unpack like a pair."""

    observation_space = Box(-1, 1, (2,), dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed)[0]

    def obs(self) -> Any:
        return self.x[:2].astype(np.float32)


def old_reset() -> gymnasium.Env:
    return limited(OldReset())


class Seedless(Base):
    def reset(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().reset()


def seedless() -> gymnasium.Env:
    return limited(Seedless())


class ThirdStart(Base):
    """Returns NaN at the start of its third episode after the probe's."""

    starts = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        obs, info = super().reset(seed=seed)
        self.starts += 1
        return (np.array([0.0, 0.0, np.nan]) if self.starts == 4 else obs), info


def third_start() -> gymnasium.Env:
    return limited(ThirdStart())


def needs_argument(size: int) -> gymnasium.Env:
    del size
    return plain()


NO_FUNCTION = 3


class Endless(Base):
    """Its spec has a maximum length that no wrapper enforces."""

    spec = gymnasium.envs.registration.EnvSpec("Endless-v0", max_episode_steps=5)


def endless() -> gymnasium.Env:
    return Endless()


def spaces(observation: Any = None, action: Any = None) -> gymnasium.Env:
    env = limited(Base())
    if observation is not None:
        env.unwrapped.observation_space = observation
        env.unwrapped.obs = lambda: observation.sample()  # pyright: ignore[reportAttributeAccessIssue]
    if action is not None:
        env.unwrapped.action_space = action
    return env


def __getattr__(name: str) -> Any:
    if name in CASES:
        return CASES[name][0]
    raise AttributeError(name)
