"""A user's own environment, named `module:factory`.

`factory()` returns a gymnasium.Env with a bounded Box of actions, a Box or a flat Dict of Boxes of
observations, a known episode length, and a cost in `info["cost"]` at every step; the six-tuple of
Safety-Gymnasium (obs, reward, cost, terminated, truncated, info) is accepted as well. A first probe
step finds out what is missing, before any training.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.envs.compat import user_imports  # (first: it prepares what Gymnasium imports)

# isort: split
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from benchmarks.envs.contract import ObsContract, flag, real, shown
from benchmarks.envs.errors import EnvContractError
from benchmarks.runs.plain_text import did_you_mean

COST_HELP = (
    'a safety task must say what each step costs: set info["cost"] = float(...) in step, for '
    "example 1.0 in an unsafe state and else 0.0, or return Safety-Gymnasium's six values "
    "(observation, reward, cost, terminated, truncated, info)"
)
LENGTH_HELP = (
    "wrap it: gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000), or register it with "
    "max_episode_steps"
)
SIX_HELP = (
    "a wrapper of Gymnasium expects five values of step: around an environment with "
    "Safety-Gymnasium's six use safety_gymnasium.wrappers.SafeTimeLimit, or let step return five "
    'with the cost in info["cost"]'
)
# Names of other arrays in a replay row, then of other terms of the world model's loss, which
# observations must not replace.
RESERVED = (
    "action",
    "reward",
    "cost",
    "is_first",
    "is_last",
    "is_terminal",
    "cont",
    "motion",
    "dyn",
    "rep",
)


class Transition(NamedTuple):
    """What one simulator step gives."""

    obs: Any
    reward: float
    cost: float
    terminated: bool
    truncated: bool


def find_current_folder() -> None:
    """Have modules of the current folder found, after all others, by this process and by those that
    it starts.

    An installed command does not search the folder it runs in. Last, so that a checkout there does
    not replace the code that a sweep runs.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def load(name: str) -> gymnasium.Env:
    """The environment that `module:factory` makes, see `find_factory`.

    Raises ValueError if there is none of that name, else EnvContractError. It may import
    safety_gymnasium.
    """
    factory_name = name.partition(":")[2]
    with user_imports():
        env = _called(name, find_factory(name, "task"))
    if not isinstance(env, gymnasium.Env):
        raise EnvContractError(
            f"task {name!r}: {factory_name}() must return a gymnasium.Env, not {type(env).__name__}"
        )
    return env


def find_factory(name: str, what: str) -> Any:
    """What `module:factory` names, of a module on the path or in the current folder.

    `what` is what errors call it. Raises ValueError if there is none of that name.
    """
    module_name, _, factory_name = name.partition(":")
    find_current_folder()
    with user_imports():
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not (
                module_name == error.name or module_name.startswith(f"{error.name}.")
            ):
                raise  # the module exists, but one that it imports does not
            raise ValueError(
                f"{what} {name!r}: there is no module {module_name!r}; run from the folder that "
                "holds it, or add that to PYTHONPATH"
            ) from error
        factory: Any = module
        for part in factory_name.split("."):
            if not hasattr(factory, part):
                hint = did_you_mean(part, dir(factory))
                raise ValueError(f"{what} {name!r}: {module_name} has no {factory_name!r}{hint}")
            factory = getattr(factory, part)
    return factory


def _called(name: str, factory: Any) -> Any:
    if not callable(factory):
        raise EnvContractError(
            f"task {name!r} must name a function that makes the environment, not "
            f"{type(factory).__name__}"
        )
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise EnvContractError(
            f"task {name!r} must name a function that is called without arguments ({error}); "
            "give each a default, or name a function that fills them in"
        ) from error
    except ValueError:  # some callables have no signature to read
        pass
    return factory()


def started(result: Any) -> Any:
    """The observation in what `reset` returned.

    Raises EnvContractError if that is no pair of observation and info.
    """
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
        raise EnvContractError(
            f"reset must return (observation, info), info a dict, got {_returned(result)}"
        )
    return result[0]


def transition(result: Any) -> Transition:
    """Read what `step` returned.

    Raises EnvContractError if it is no 5- or 6-tuple of the right kinds, or has no usable cost.
    """
    if not isinstance(result, tuple) or len(result) not in (5, 6):
        raise EnvContractError(
            "step must return (observation, reward, terminated, truncated, info), got "
            f"{_returned(result)}; {COST_HELP}"
        )
    obs, reward, *costs, terminated, truncated, info = result
    if not isinstance(info, Mapping):
        raise EnvContractError(
            f"the info of step must be a dict, got {type(info).__name__} {shown(info)}; {COST_HELP}"
        )
    if not costs and "cost" not in info:
        keys = ", ".join(sorted(map(str, info))) or "nothing"
        raise EnvContractError(
            f'step reports no cost: info["cost"] is missing (info holds {keys}); {COST_HELP}'
        )
    cost = real("cost", costs[0] if costs else info["cost"])
    if cost < 0:
        raise EnvContractError(f"the cost must not be negative, got {cost}")
    return Transition(
        obs,
        real("reward", reward),
        cost,
        flag("terminated", terminated),
        flag("truncated", truncated),
    )


def _returned(result: Any) -> str:
    if isinstance(result, tuple):
        return f"{len(result)} values ({', '.join(type(value).__name__ for value in result)})"
    return type(result).__name__


@contextlib.contextmanager
def explain_wrapper() -> Iterator[None]:
    """Say what to use where one of Gymnasium's wrappers meets another number of values than it
    unpacks.
    """
    try:
        yield
    except (ValueError, TypeError, gymnasium.error.Error) as error:
        if not re.search(
            r"values to unpack \(expected 5|cannot unpack non-iterable|five element tuple",
            str(error),
        ):
            raise
        raise EnvContractError(f"{SIX_HELP} ({error})") from error


@contextlib.contextmanager
def explain_reset() -> Iterator[None]:
    """Say how reset is called where it takes no seed."""
    try:
        yield
    except TypeError as error:
        if not re.search(
            r"reset\(\) got an unexpected keyword argument '(seed|options)'", str(error)
        ):
            raise
        raise EnvContractError(
            "reset must take seed and options by keyword: reset(self, *, seed=None, "
            f"options=None) ({error})"
        ) from error


def box_actions(name: str, space: Any) -> Box:
    """The action space, checked: one bounded vector of floats."""
    if (
        not isinstance(space, Box)
        or space.dtype.kind != "f"
        or len(space.shape) != 1
        or not space.is_bounded()
        or np.any(space.low >= space.high)
    ):
        raise EnvContractError(
            f"task {name!r}: the action space must be a Box of floats with one axis and finite "
            f"low < high, got {space}. For example gymnasium.spaces.Box(-1.0, 1.0, (2,), "
            "dtype=numpy.float32)"
        )
    return space


def obs_space(name: str, space: Any) -> Dict:
    """The observations as a Dict of uint8 images [H, W, C] and float32 arrays.

    A single Box is `image` or `observation`.
    """
    if isinstance(space, Box):
        space = Dict({"image" if _is_image(space) else "observation": space})
    if not isinstance(space, Dict) or not space.spaces:
        raise EnvContractError(
            f"task {name!r}: the observation space must be a Box or a Dict of Boxes, got {space}"
        )
    return Dict({key: _converted(name, key, part) for key, part in space.spaces.items()})


def _converted(name: str, key: Any, part: Any) -> Box:
    if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        raise EnvContractError(
            f"task {name!r}: observation key {key!r} must consist of letters, digits, '_' and '-'"
        )
    if key in RESERVED:
        raise EnvContractError(
            f"task {name!r}: observation {key!r} has a name that is taken "
            f"({', '.join(RESERVED)}): rename it, for example to last_{key}"
        )
    if not isinstance(part, Box):
        raise EnvContractError(
            f"task {name!r}: observation {key!r} must be a Box, got {part}; flatten it with "
            "gymnasium.wrappers.FlattenObservation"
        )
    if not _is_image(part):
        return Box(-np.inf, np.inf, part.shape, dtype=np.float32)
    if part.dtype != np.uint8 or part.low.any() or (part.high != 255).any():
        raise EnvContractError(
            f"task {name!r}: observation {key!r} has three axes, so it is an image, and images "
            f"are Box(0, 255, shape, numpy.uint8), which networks divide by 255, not {part}: "
            "send (255 * image).astype(numpy.uint8), or flatten what is none"
        )
    return part


def _is_image(space: Box) -> bool:
    return len(space.shape) == 3


def obs_contract(declared: Any, given: Dict) -> ObsContract:
    """Checks what the environment sends against its declared space.

    `given` is `obs_space` of that.
    """
    spaces = (
        declared.spaces if isinstance(declared, Dict) else dict.fromkeys(given.spaces, declared)
    )
    return ObsContract(spaces, {key: np.dtype(space.dtype) for key, space in given.spaces.items()})


def episode_steps(env: gymnasium.Env) -> int | None:
    """Length of a full episode in simulator steps.

    The least limit of its wrappers and of Safety-Gymnasium's task.

    Without any of these what its registration says, or None.
    """
    limits: list[int] = []
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        if "_max_episode_steps" in vars(layer):
            limits.append(int(vars(layer)["_max_episode_steps"]))
        layer = layer.env
    steps = getattr(getattr(layer, "task", None), "num_steps", None)
    if isinstance(steps, int):
        limits.append(steps)
    if limits:
        return min(limits)
    spec = getattr(layer, "spec", None)
    return spec.max_episode_steps if spec is not None else None
