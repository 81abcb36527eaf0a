"""Configuration of an algorithm.

Frozen dataclasses made from the YAML files of the installed OmniSafe, without importing it.

What this suite decides for all methods alike is no setting here: seed, budget, environments,
logging, evaluation, action repeat. The cost limit is one setting, `cost_limit`, whatever OmniSafe
calls it for the algorithm.
OmniSafe's blocks for single tasks change its defaults; `defaults` applies them by the task's own
id.
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

# Settings of OmniSafe that the suite sets; never a user's.
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
# Keys that blocks of single tasks have and that nothing in OmniSafe reads there; its own check
# would refuse them from a user.
DEAD = frozenset(
    ["algo_cfgs.plan_horizon", "algo_cfgs.init_var", "algo_cfgs.temperature", "planner_cfgs.alpha"]
)
# Whole numbers in the YAML that are amounts, not counts.
AMOUNTS = frozenset(
    ["algo_cfgs.max_grad_norm", "planner_cfgs.init_var", "planner_cfgs.temperature"]
)

Flat = dict[str, Any]


@functools.cache
def _yaml(algorithm: str) -> Mapping[str, Mapping[str, Any]]:
    """The file of an algorithm of ours: block name -> settings.

    Raises ValueError where OmniSafe is not installed.
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
    """Without what is ours or what nothing reads, and with the cost limit under its one name."""
    hidden = OURS | set(row.limit)
    # IPO's file has some for nothing
    sections = OUR_SECTIONS if row.limit == LAGRANGE else (*OUR_SECTIONS, "lagrange_cfgs")
    kept = {k: v for k, v in flat.items() if k not in hidden and k.split(".")[0] not in sections}
    kept = {k: float(v) if k in AMOUNTS else v for k, v in kept.items()}
    return ({"cost_limit": float(flat[row.limit[0]])} if row.constrained else {}) | kept


@functools.cache
def _schema(algorithm: str) -> Flat:
    """The defaults that hold for all tasks."""
    row = ALGORITHMS[algorithm]
    flat = _kept(row, dict(_flatten(_yaml(algorithm)["defaults"])))
    # Its planners bound the cost of what the model predicts. OmniSafe computes that from the
    # observations of environments of its own; ours do not say how, so the model predicts the cost
    # too, as in OmniSafe's blocks for the Velocity tasks.
    return flat | (
        {"dynamics_cfgs.predict_cost": True}
        if row.family == "model-based" and row.constrained
        else {}
    )


@functools.cache
def config_type(algorithm: str) -> type:
    """The dataclass of an algorithm's settings.

    Raises ValueError where OmniSafe is not installed.
    """
    return _dataclass(f"{ALGORITHMS[algorithm].omnisafe}Config", _nest(_schema(algorithm)))


@functools.cache
def vision_config_type(algorithm: str) -> type:
    """The dataclass of its settings on pictures: the same, and those of an encoder."""
    plain = config_type(algorithm)
    fields = [
        (field.name, field.type, dataclasses.field(default=field.default))
        for field in dataclasses.fields(plain)
    ]
    section = ("vision", VisionConfig, dataclasses.field(default=VisionConfig()))
    made = dataclasses.make_dataclass(
        f"{plain.__name__}Vision",
        [*fields, section],
        frozen=True,
        namespace={"__module__": __name__},
    )
    made.__doc__ = plain.__doc__
    return made


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
    if value is None:  # learning rates of actors that take natural gradient steps
        return float | None
    if isinstance(value, tuple):
        return tuple[type(value[0]), ...]
    return type(value)


def defaults(algorithm: str, task: str = "", vision: bool = False) -> Any:
    """OmniSafe's settings for a task, its block for that task included.

    With `vision` also those of an encoder.

    Tickets of frames are no quantities, so that there is nothing to normalise on pictures.
    """
    row = ALGORITHMS[algorithm]
    flat = _schema(algorithm)
    block = {k: v for k, v in _flatten(_yaml(algorithm).get(task, {})) if k not in DEAD}
    changes = {k: float(v) if k in AMOUNTS else v for k, v in block.items() if k in flat}
    if limits := [block[name] for name in row.limit if name in block]:
        changes["cost_limit"] = float(limits[0])
    if vision:
        return _build(
            vision_config_type(algorithm),
            _nest(flat | changes | {"algo_cfgs.obs_normalize": False}),
        )
    return _build(config_type(algorithm), _nest(flat | changes))


def task_block(algorithm: str, task: str) -> Flat:
    """What OmniSafe changes for a task, as it stands in its file."""
    return dict(_flatten(_yaml(algorithm).get(task, {})))


def published_action_repeat(algorithm: str, task: str = "") -> int:
    """Simulator steps per action in OmniSafe.

    1, or what its model-based algorithms say for the task.
    """
    flat = dict(_flatten(_yaml(algorithm)["defaults"])) | task_block(algorithm, task)
    return int(flat.get("algo_cfgs.action_repeat", 1))


def published_steps(algorithm: str) -> int:
    """Simulator steps of training by default."""
    return int(_yaml(algorithm)["defaults"]["train_cfgs"]["total_steps"])


def _build(cls: type, tree: Mapping[str, Any]) -> Any:
    hints = {field.name: field.type for field in dataclasses.fields(cls)}
    return cls(**{k: _build(hints[k], v) if isinstance(v, dict) else v for k, v in tree.items()})  # type: ignore[arg-type]


def replace(config: Any, **changes: Any) -> Any:
    """A copy with other values, by dotted names written with double underscores.

    `algo_cfgs__steps_per_epoch`.
    """
    return replaced(config, {name.replace("__", "."): value for name, value in changes.items()})


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
    """The complete tree of settings that OmniSafe's own classes read.

    `total_steps` and `episode_steps` are counted as the algorithm counts (see
    `counts_simulator_steps`); `action_repeat` is the one that OmniSafe shall apply itself.
    """
    row = ALGORITHMS[algorithm]
    base = dict(_flatten(_yaml(algorithm)["defaults"]))
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
    }
    flat |= {
        "train_cfgs.vector_env_nums": num_envs,
        "train_cfgs.parallel": 1,
        "train_cfgs.total_steps": total_steps,
    }
    flat["train_cfgs.epochs"] = total_steps // chosen["algo_cfgs.steps_per_epoch"]
    if "algo_cfgs.max_ep_len" in base:
        flat["algo_cfgs.max_ep_len"] = episode_steps
    if "algo_cfgs.action_repeat" in base:
        flat["algo_cfgs.action_repeat"] = action_repeat
    if row.family == "off-policy":
        flat["train_cfgs.eval_episodes"] = 0
    if row.family == "model-based":
        flat["evaluation_cfgs.use_eval"] = False  # it films, on layouts that no one chose
    flat |= {"logger_cfgs.use_wandb": False, "logger_cfgs.use_tensorboard": False}
    return _nest({k: list(v) if isinstance(v, tuple) else v for k, v in flat.items()})


def device_name(name: str) -> str:
    """`cuda` alone means the first one; OmniSafe needs its number."""
    return "cuda:0" if name in ("cuda", "gpu") else name


def counts_simulator_steps(algorithm: str) -> bool:
    """Whether OmniSafe counts simulator steps for it (and repeats actions itself), and not
    actions.
    """
    return ALGORITHMS[algorithm].family == "model-based"
