"""A user's own environment, named `module:factory`.

`factory()` returns a gymnasium.Env with a bounded Box of actions, a Box or a flat Dict of Boxes of
observations, a known episode length, and a cost in `info["cost"]` at every step; the six-tuple of
Safety-Gymnasium (obs, reward, cost, terminated, truncated, info) is accepted as well. A first probe
step finds out what is missing, before any training.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any, NamedTuple

import benchmarks.envs.compat  # noqa: F401 (first: it prepares what Gymnasium imports)

# isort: split
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from benchmarks.envs.errors import EnvContractError

COST_HELP = (
    "A safety task must say what each step costs. In the environment's step, before it returns, "
    "add\n"
    '    info["cost"] = float(...)  # for example 1.0 in an unsafe state, else 0.0\n'
    "or return Safety-Gymnasium's six values (observation, reward, cost, terminated, truncated, "
    "info)."
)
LENGTH_HELP = (
    "wrap it: gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000), or register it with "
    "max_episode_steps"
)


class Transition(NamedTuple):
    """What one simulator step gives."""

    obs: Any
    reward: float
    cost: float
    terminated: bool
    truncated: bool


def load(name: str) -> gymnasium.Env:
    """The environment that `module:factory` makes.

    Raises ValueError if there is none of that name, else EnvContractError.
    """
    module_name, _, factory_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (
            module_name == error.name or module_name.startswith(f"{error.name}.")
        ):
            raise  # the module exists, but one that it imports does not
        raise ValueError(
            f"task {name!r}: there is no module {module_name!r}; run from the folder that "
            "holds it, or add that to PYTHONPATH"
        ) from error
    factory: Any = module
    for part in factory_name.split("."):
        if not hasattr(factory, part):
            near = difflib.get_close_matches(part, dir(factory), n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"task {name!r}: {module_name} has no {factory_name!r}{hint}")
        factory = getattr(factory, part)
    env = factory()
    if not isinstance(env, gymnasium.Env):
        raise EnvContractError(
            f"task {name!r}: {factory_name}() must return a gymnasium.Env, not {type(env).__name__}"
        )
    return env


def transition(name: str, result: Any) -> Transition:
    """Read what `step` returned.

    Raises EnvContractError if it has no usable cost, or is no 5- or 6-tuple.
    """
    if isinstance(result, tuple) and len(result) == 6:
        obs, reward, cost, terminated, truncated, _ = result
    elif isinstance(result, tuple) and len(result) == 5:
        obs, reward, terminated, truncated, info = result
        if "cost" not in info:
            keys = ", ".join(sorted(map(str, info))) or "nothing"
            raise EnvContractError(
                f'task {name!r} reports no cost: info["cost"] is missing (info holds {keys}).\n'
                f"{COST_HELP}"
            )
        cost = info["cost"]
    else:
        what = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise EnvContractError(
            f"task {name!r}: step must return (observation, reward, terminated, truncated, "
            f"info), got {what}.\n"
            f"{COST_HELP}"
        )
    if np.ndim(cost) != 0 or not np.isfinite(cost) or cost < 0:
        raise EnvContractError(
            f"task {name!r}: the cost must be one number, finite and not negative, got {cost!r}"
        )
    return Transition(obs, float(reward), float(cost), bool(terminated), bool(truncated))


def box_actions(name: str, space: gymnasium.Space) -> Box:
    """The action space, checked: one bounded vector of floats."""
    if (
        not isinstance(space, Box)
        or len(space.shape) != 1
        or not space.is_bounded()
        or np.any(space.low >= space.high)
    ):
        raise EnvContractError(
            f"task {name!r}: the action space must be a Box with one axis and finite low < "
            f"high, got {space}. For example gymnasium.spaces.Box(-1.0, 1.0, (2,), "
            "dtype=numpy.float32)"
        )
    return space


def obs_space(name: str, space: gymnasium.Space) -> Dict:
    """The observations as a Dict of uint8 images [H, W, C] and float32 arrays.

    A single Box is `image` or `observation`.
    """
    if isinstance(space, Box):
        space = Dict({"image" if _is_image(space) else "observation": space})
    if not isinstance(space, Dict) or not space.spaces:
        raise EnvContractError(
            f"task {name!r}: the observation space must be a Box or a Dict of Boxes, got {space}"
        )
    converted = {}
    for key, part in space.spaces.items():
        if not isinstance(part, Box):
            raise EnvContractError(
                f"task {name!r}: observation {key!r} must be a Box, got {part}; "
                "flatten it with gymnasium.wrappers.FlattenObservation"
            )
        converted[key] = (
            part if _is_image(part) else Box(-np.inf, np.inf, part.shape, dtype=np.float32)
        )
    return Dict(converted)


def _is_image(space: Box) -> bool:
    return space.dtype == np.uint8 and len(space.shape) == 3


def episode_steps(env: gymnasium.Env) -> int | None:
    """Length of a full episode in simulator steps, as its TimeLimit or its registration says, or
    None.
    """
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        if "_max_episode_steps" in vars(layer):
            return int(vars(layer)["_max_episode_steps"])
        layer = layer.env
    spec = getattr(layer, "spec", None)
    return spec.max_episode_steps if spec is not None else None
