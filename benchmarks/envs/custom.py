"""A user's own environment: `module:factory`, or the id under which Gymnasium registers it.

It is a gymnasium.Env with a bounded Box of actions, a Box or a flat Dict of Boxes of
observations, a known episode length, and a cost in `info["cost"]` at every step; Safety-Gymnasium's
six-tuple (obs, reward, cost, terminated, truncated, info) is accepted as well. A probe step detects
missing parts before any training.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.envs.compat import user_imports  # (first: it prepares what Gymnasium imports)

# isort: split
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from benchmarks.envs.contract import ObsContract, flag, real, shown
from benchmarks.envs.errors import EnvContractError
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.references import load_module, load_object
from benchmarks.tasks import is_env_id

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
RESET_HELP = "reset must take seed and options by keyword: reset(self, *, seed=None, options=None)"
# Names that observation keys must not shadow: other arrays in a replay row, then other terms of the
# world model's loss.
RESERVED = "action reward cost is_first is_last is_terminal cont motion dyn rep".split()


class Transition(NamedTuple):
    """Result of one simulator step."""

    obs: Any
    reward: float
    cost: float
    terminated: bool
    truncated: bool


def load(name: str, render_mode: str | None = None) -> gymnasium.Env:
    """Make the environment of `module:factory`, or the one registered as `namespace/Env-v0`.

    `module:Env-v0` first imports the module, which registers the environment. `render_mode` is
    passed to gymnasium.make, or to the factory if it has such a parameter. The user's code may
    import safety_gymnasium.

    Raises ValueError if nothing has that name, EnvContractError for other faults.
    """
    module_name, _, target = name.rpartition(":")
    with user_imports():
        if is_env_id(target):
            if module_name:
                load_module("task", name, module_name)
            env = _registered(name, target, render_mode)
        else:
            env = _called(name, load_object("task", name), render_mode)
    if not isinstance(env, gymnasium.Env):
        raise EnvContractError(
            f"task {name!r}: {target}() must return a gymnasium.Env, not {type(env).__name__}"
        )
    return env


def _registered(name: str, env_id: str, render_mode: str | None) -> gymnasium.Env:
    options: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    try:
        # disabled because the checker expects five values from step
        return gymnasium.make(env_id, disable_env_checker=True, **options)
    except gymnasium.error.UnregisteredEnv as error:
        hint = "" if ":" in name else f"; write module:{env_id} to import what registers it"
        raise ValueError(f"task {name!r}: {one_line(str(error))}{hint}") from error
    except gymnasium.error.Error as error:
        raise EnvContractError(f"task {name!r}: {one_line(str(error))}") from error


def _called(name: str, factory: Any, render_mode: str | None) -> Any:
    if not callable(factory):
        raise EnvContractError(
            f"task {name!r} must name a function that makes the environment, not "
            f"{type(factory).__name__}"
        )
    options: dict[str, Any] = {}
    try:
        signature = inspect.signature(factory)
        if render_mode is not None and "render_mode" in signature.parameters:
            options = {"render_mode": render_mode}
        signature.bind(**options)
    except TypeError as error:
        raise EnvContractError(
            f"task {name!r} must name a function that is called without arguments ({error}); "
            "give each a default, or name a function that fills them in"
        ) from error
    except ValueError:  # some callables have no signature to read
        pass
    return factory(**options)


def started(result: Any) -> Any:
    """The observation in the result of `reset`.

    Raises EnvContractError if the result is not a pair of observation and info.
    """
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)):
        raise EnvContractError(
            f"reset must return (observation, info), info a dict, got {_returned(result)}"
        )
    return result[0]


def transition(result: Any) -> Transition:
    """Parse the result of `step`.

    Raises EnvContractError unless it is a 5- or 6-tuple of the right types with a valid cost.
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
def explain(kinds: tuple[type[Exception], ...], pattern: str, help_text: str) -> Iterator[None]:
    """Turn an error of these kinds whose message matches into an EnvContractError with the fix."""
    try:
        yield
    except kinds as error:
        if not re.search(pattern, str(error)):
            raise
        raise EnvContractError(f"{help_text} ({error})") from error


def explain_wrapper() -> contextlib.AbstractContextManager[None]:
    """Explain the unpacking errors of Gymnasium's wrappers around a six-tuple."""
    kinds = (ValueError, TypeError, gymnasium.error.Error)
    unpacking = r"values to unpack \(expected 5|cannot unpack non-iterable|five element tuple"
    return explain(kinds, unpacking, SIX_HELP)


def explain_reset() -> contextlib.AbstractContextManager[None]:
    """Explain the TypeError of a `reset` without seed or options."""
    unknown = r"reset\(\) got an unexpected keyword argument '(seed|options)'"
    return explain((TypeError,), unknown, RESET_HELP)


def box_actions(name: str, space: Any) -> Box:
    """The action space, if it is a bounded vector of floats; raises EnvContractError if not."""
    if isinstance(space, Discrete | MultiDiscrete | MultiBinary):
        raise EnvContractError(
            f"task {name!r}: the actions are discrete ({space}), and every method of the suite "
            "acts in a continuous box: planners fit Gaussians to actions, actors are squashed "
            "Gaussians. Use a task with a Box of actions"
        )
    if (
        not isinstance(space, Box)
        or space.dtype.kind != "f"
        or len(space.shape) != 1
        or space.shape[0] == 0
        or not space.is_bounded()
        or np.any(space.low >= space.high)
    ):
        raise EnvContractError(
            f"task {name!r}: the action space must be a Box of floats with one axis, not "
            f"empty, and finite low < high, got {space}. For example "
            "gymnasium.spaces.Box(-1.0, 1.0, (2,), dtype=numpy.float32)"
        )
    return space


def obs_space(name: str, space: Any) -> Dict:
    """The observation space as a Dict of uint8 images [H, W, C] and float32 arrays.

    A single Box gets the key `image` or `observation`.
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
    if 0 in part.shape:
        raise EnvContractError(
            f"task {name!r}: observation {key!r} is empty ({part}), and networks need at least one "
            "number: leave it out, or observe a constant"
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
    """The check of observations against the declared space; `given` is its `obs_space`."""
    spaces = (
        declared.spaces if isinstance(declared, Dict) else dict.fromkeys(given.spaces, declared)
    )
    return ObsContract(spaces, {key: np.dtype(space.dtype) for key, space in given.spaces.items()})


def episode_steps(env: gymnasium.Env) -> int | None:
    """Length of a full episode in simulator steps; None if unknown.

    The smallest limit of its wrappers and of Safety-Gymnasium's task; without any, the limit it is
    registered with.
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
