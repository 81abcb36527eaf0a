"""Configuration of an algorithm.

Frozen dataclasses generated from the YAML files of the installed OmniSafe, without importing it.

Options that this suite sets for all methods alike are not included: seed, budget, environments,
logging, evaluation, action repeat. The cost limit is always `cost_limit`, whatever its name in
OmniSafe.
OmniSafe has blocks of settings for single tasks that change its defaults; `defaults` applies them
by task id.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from agents.settings import replaced
from baselines.omnisafe.algorithms import ALGORITHMS, LAGRANGE, Algorithm
from baselines.omnisafe.vision import VisionConfig

MISSING = (
    "OmniSafe is not installed: run `make omnisafe`; without a checkout, install the extra "
    "safedreamer-suite[omnisafe] and then `pip install --no-deps omnisafe==0.5.0`"
)

# Settings of OmniSafe that the suite sets; not available to users.
OURS = frozenset(
    [
        "seed",
        "env_cfgs",
        "train_cfgs.vector_env_nums",
        "train_cfgs.parallel",
        "train_cfgs.total_steps",
        "train_cfgs.eval_episodes",
        "algo_cfgs.max_ep_len",
        "algo_cfgs.action_repeat",
    ]
)
OUR_SECTIONS = ("logger_cfgs", "evaluation_cfgs")
# Keys in the blocks of single tasks that OmniSafe never reads; its own check would reject them from
# a user.
DEAD = frozenset(
    ["algo_cfgs.plan_horizon", "algo_cfgs.init_var", "algo_cfgs.temperature", "planner_cfgs.alpha"]
)
# Integers in the YAML that are real-valued settings.
AMOUNTS = frozenset(
    ["algo_cfgs.max_grad_norm", "planner_cfgs.init_var", "planner_cfgs.temperature"]
)

Flat = dict[str, Any]


@functools.cache
def _yaml(algorithm: str) -> Mapping[str, Mapping[str, Any]]:
    """OmniSafe's file of an algorithm, by our name: block name -> settings.

    Raises ValueError if OmniSafe is not installed.
    """
    found = importlib.util.find_spec("omnisafe")
    if found is None or not found.submodule_search_locations:
        raise ValueError(MISSING)
    row = ALGORITHMS[algorithm]
    path = (
        Path(next(iter(found.submodule_search_locations)))
        / "configs"
        / row.family
        / f"{row.omnisafe}.yaml"
    )
    if not path.is_file():
        raise ValueError(
            f"the installed OmniSafe has no {path.name}: this suite needs version 0.5.0, run "
            "`make omnisafe`"
        )
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", tuple(value) if isinstance(value, list) else value


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, last = key.split(".")
        at = tree
        for section in sections:
            at = at.setdefault(section, {})
        at[last] = value
    return tree


def _kept(row: Algorithm, flat: Flat) -> Flat:
    """Drop settings that the suite sets or nothing reads; rename the cost limit to `cost_limit`."""
    hidden = OURS | set(row.limit)
    # IPO's file has an unused lagrange_cfgs
    sections = OUR_SECTIONS if row.limit == LAGRANGE else (*OUR_SECTIONS, "lagrange_cfgs")
    kept = {k: v for k, v in flat.items() if k not in hidden and k.split(".")[0] not in sections}
    return ({"cost_limit": float(flat[row.limit[0]])} if row.constrained else {}) | kept


@functools.cache
def _schema(algorithm: str) -> Flat:
    """The defaults common to all tasks."""
    row = ALGORITHMS[algorithm]
    flat = _kept(row, task_block(algorithm, "defaults"))
    # The planners constrain the cost of predicted states. OmniSafe computes it from observations of
    # its own environments, which is impossible for ours: the model also predicts the cost, as in
    # OmniSafe's blocks for the Velocity tasks.
    return flat | (
        {"dynamics_cfgs.predict_cost": True}
        if row.family == "model-based" and row.constrained
        else {}
    )


@functools.cache
def config_type(algorithm: str) -> type:
    """The dataclass of an algorithm's settings.

    Raises ValueError if OmniSafe is not installed.
    """
    return _dataclass(f"{ALGORITHMS[algorithm].omnisafe}Config", _nest(_schema(algorithm)))


@functools.cache
def vision_config_type(algorithm: str) -> type:
    """The dataclass of an algorithm's settings on images, which adds those of an encoder."""
    plain = config_type(algorithm)
    return dataclasses.make_dataclass(
        f"{plain.__name__}Vision",
        [("vision", VisionConfig, dataclasses.field(default=VisionConfig()))],
        bases=(plain,),
        frozen=True,
        namespace={"__module__": __name__, "__doc__": plain.__doc__},
    )


def _dataclass(name: str, tree: Mapping[str, Any]) -> type:
    fields = []
    for key, value in tree.items():
        if isinstance(value, dict):
            section = _dataclass(f"{name}_{key}", value)
            fields.append((key, section, dataclasses.field(default=section())))
        else:
            fields.append((key, _type_of(value), dataclasses.field(default=value)))
    made = dataclasses.make_dataclass(name, fields, frozen=True, namespace={"__module__": __name__})
    made.__doc__ = f"Settings of OmniSafe's {name.partition('Config')[0]}."
    return made


def _type_of(value: Any) -> Any:
    if value is None:  # learning rate of actors with natural gradient steps
        return float | None
    if isinstance(value, tuple):
        return tuple[type(value[0]), ...]
    return type(value)


def defaults(algorithm: str, task: str = "", vision: bool = False) -> Any:
    """OmniSafe's settings for a task, including its block for that task.

    With `vision`, also those of an encoder, and observations are not normalised: tickets of frames
    are indices.
    """
    row = ALGORITHMS[algorithm]
    flat = _schema(algorithm)
    block = {k: v for k, v in task_block(algorithm, task).items() if k not in DEAD}
    changes = {k: v for k, v in block.items() if k in flat}
    if limits := [block[name] for name in row.limit if name in block]:
        changes["cost_limit"] = float(limits[0])
    if vision:
        changes["algo_cfgs.obs_normalize"] = False
    return replaced((vision_config_type if vision else config_type)(algorithm)(), changes)


def task_block(algorithm: str, task: str) -> Flat:
    """OmniSafe's changes for a task, or its "defaults", as in its file; amounts are floats."""
    block = _flatten(_yaml(algorithm).get(task, {}))
    return {k: float(v) if k in AMOUNTS else v for k, v in block}


def published_action_repeat(algorithm: str, task: str = "") -> int:
    """Simulator steps per action in OmniSafe.

    1, except for model-based algorithms that set another value for the task.
    """
    flat = task_block(algorithm, "defaults") | task_block(algorithm, task)
    return int(flat.get("algo_cfgs.action_repeat", 1))


def published_steps(algorithm: str) -> int:
    """Default number of simulator steps of training."""
    return int(task_block(algorithm, "defaults")["train_cfgs.total_steps"])


def to_omnisafe(
    algorithm: str,
    config: Any,
    *,
    seed: int,
    num_envs: int,
    total_steps: int,
    episode_steps: int,
    action_repeat: int,
) -> dict[str, Any]:
    """The complete tree of settings for OmniSafe's own classes.

    `total_steps` and `episode_steps` are in the units of the algorithm (see
    `counts_simulator_steps`); `action_repeat` is the one that OmniSafe applies itself.
    """
    row = ALGORITHMS[algorithm]
    base = task_block(algorithm, "defaults")
    chosen = {
        name: value
        for name, value in _flatten(dataclasses.asdict(config))
        if not name.startswith("vision.")
    }
    limit = chosen.pop("cost_limit", None)
    flat = base | chosen | dict.fromkeys(row.limit, limit)
    flat |= {
        "seed": seed,
        "env_cfgs": {},
        "train_cfgs.device": device_name(chosen["train_cfgs.device"]),
        "train_cfgs.vector_env_nums": num_envs,
        "train_cfgs.parallel": 1,
        "train_cfgs.total_steps": total_steps,
        "train_cfgs.epochs": total_steps // chosen["algo_cfgs.steps_per_epoch"],
        "logger_cfgs.use_wandb": False,
        "logger_cfgs.use_tensorboard": False,
    }
    if "algo_cfgs.max_ep_len" in base:
        flat["algo_cfgs.max_ep_len"] = episode_steps
    if "algo_cfgs.action_repeat" in base:
        flat["algo_cfgs.action_repeat"] = action_repeat
    if row.family == "off-policy":
        flat["train_cfgs.eval_episodes"] = 0
    if row.family == "model-based":
        flat["evaluation_cfgs.use_eval"] = False  # would record videos on unseeded layouts
    return _nest({k: list(v) if isinstance(v, tuple) else v for k, v in flat.items()})


def device_name(name: str) -> str:
    """Device name with its number, which OmniSafe needs; plain `cuda` is the first GPU."""
    return "cuda:0" if name in ("cuda", "gpu") else name


def counts_simulator_steps(algorithm: str) -> bool:
    """Whether OmniSafe counts simulator steps (and repeats actions itself) instead of actions."""
    return ALGORITHMS[algorithm].family == "model-based"
