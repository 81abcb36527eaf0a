"""The full configuration of one run, as a value.

What to train, on what, how the loop runs, and the agent's own configuration.

A spec is written to `spec.json`, rebuilt from it, hashed into a run id and compared with another
spec. It holds nothing of the machine (see provenance.py) and nothing of the run's progress (see
checkpoint.py).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from benchmarks.runs.errors import BadInput
from benchmarks.runs.errors import RunFailed as RunFailed
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.plain_text import did_you_mean
from benchmarks.runs.ranges import check_numbers
from benchmarks.runs.reading import DamagedFile, expect, is_a, read_object, spelled

Obs = Literal["vision", "coordinates", "lidar", "default"]
Preset = Literal["release", "matched", "cpu", "debug"]
OBSERVATIONS: tuple[str, ...] = get_args(Obs)
PRESETS: tuple[str, ...] = get_args(Preset)


# What one start of a run may choose without changing its result.
# for an environment's answer; repeating an episode of rendered steps is the longest
ENV_TIMEOUT_SECONDS = 120.0
MAX_ENV_FAULTS = 20  # environments replaced before the start gives up


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How the training loop runs. Agent steps are counted over all environments together."""

    num_envs: int = 1  # environments stepped together
    action_repeat: int = 4  # simulator steps per agent step
    prefill: int = 1024  # agent steps of uniform random actions before learning starts
    # replayed steps per agent step: train_ratio / (batch_size * batch_length) updates each
    train_ratio: float = 512.0
    batch_size: int = 16  # sequences per update
    batch_length: int = 64  # agent steps per sequence
    eval_every: int = 10_000  # agent steps between evaluations
    eval_episodes: int = 1  # episodes per evaluation; 0 never evaluates
    log_every: int = 1000  # agent steps between rows of metrics.jsonl
    checkpoint_every: int = 20_000  # agent steps between checkpoints
    # tell the learner that a time limit ends the world, as the release does
    truncation_is_terminal: bool = False
    resize: int = 0  # side in pixels that images of your own environment get; 0: as they come
    # one process per environment, or all in the main process
    env_workers: Literal["process", "inline"] = "process"

    def __post_init__(self) -> None:
        positive = (
            "num_envs action_repeat batch_size eval_every log_every checkpoint_every train_ratio"
        ).split()
        for name in positive:
            if not getattr(self, name) > 0:
                raise BadInput(f"loop.{name}={getattr(self, name)} must be positive")
        if self.batch_length < 2:
            raise BadInput(
                f"loop.batch_length={self.batch_length} must be at least 2: a sequence needs a "
                "transition"
            )
        for name in ("eval_episodes", "resize"):
            if getattr(self, name) < 0:
                raise BadInput(f"loop.{name}={getattr(self, name)} must not be negative")
        needed = self.batch_length * self.num_envs
        if self.prefill < needed:
            raise BadInput(
                f"loop.prefill={self.prefill} must be at least batch_length * num_envs = {needed}: "
                "each environment fills a stream of its own, and learning needs one whole sequence"
            )

    def updates_due(self, agent_steps: int) -> int:
        """Updates that a run should have made after `agent_steps`.

        None during prefill, then train_ratio / (B * T) for each.
        """
        return int(
            max(0, agent_steps - self.prefill)
            * self.train_ratio
            / (self.batch_size * self.batch_length)
        )


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """What the learner remembers (agents.replay.buffer states the memory it needs and refuses what
    does not fit).
    """

    capacity: int = 1_000_000  # transitions kept, over all environments
    # folder to map the buffer to instead of holding it in memory; one for each run
    directory: str = ""

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise BadInput(f"replay.capacity={self.capacity} must be positive")


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """One run. `agent` is the frozen configuration of the method's agent family."""

    method: str
    task: str
    obs: str
    seed: int
    steps: int  # simulator steps of training
    preset: str
    loop: LoopConfig
    replay: ReplayConfig
    agent: Any
    init_from: str = ""  # published checkpoint, or run folder, that the learner starts from
    init_sha256: str = ""  # of that file, or of the sums of the run's newest checkpoint
    # wall clock of the whole run, resumes included: it is done then, whatever its steps
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        check_numbers({"seed": self.seed, "steps": self.steps, "max_minutes": self.max_minutes})
        # as on the command line
        for prefix, part in (("loop.", self.loop), ("replay.", self.replay), ("", self.agent)):
            if dataclasses.is_dataclass(part):
                _check_part(prefix, part)
        needed = self.loop.batch_length * self.loop.num_envs
        if self.replay.capacity < needed:
            raise BadInput(
                f"replay.capacity={self.replay.capacity} must be at least batch_length * "
                f"num_envs = {needed}"
            )
        choose("observation", self.obs, OBSERVATIONS)
        choose("preset", self.preset, PRESETS)

    @functools.cached_property
    def run_id(self) -> str:
        """Ten hex digits that depend on everything that decides the result, and on nothing else."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def identity(self) -> dict[str, Any]:
        """Flat settings that decide the result (see `identity_of`)."""
        return identity_of(to_dict(self))


# A longer run begins like a shorter one; a preset is the name of values that are here; where files
# lie or how often they are written changes nothing.
_NOT_IDENTITY = frozenset(
    [
        "steps",
        "max_minutes",
        "preset",
        "init_from",
        "replay.directory",
        "loop.log_every",
        "loop.checkpoint_every",
        "loop.env_workers",
    ]
)

# Where one of these is on, a longer run does not begin like a shorter one: it follows its budget
# (or its memory has its size).
_SCHEDULED = (
    "agent.model_cfgs.linear_lr_decay",
    "agent.model_cfgs.exploration_noise_anneal",
    "agent.planner_cfgs.plan_horizon",
)

# Settings that specs of before lack -> the value that says what was done before they existed. A
# spec without one is read as having that value, and at that value a setting is no part of the
# identity: runs from before keep their id, load and continue.
_BEFORE: Mapping[str, Any] = {
    "max_minutes": None,
    "loop.resize": 0,
    "agent.augmented.driven_by": "imagined",
    "agent.planner.cost_critic": True,
    "agent.actor_constraint": "method",
    "agent.actor.gradient": "dynamics",
    "agent.actor.reinforce_share": 0.9,
    "agent.planner.feasible_cost": "sum",
    "agent.planner.pessimism": 1,
    "agent.planner.cost_margin": 0.0,
    "agent.planner.actor_share": 0.0,
    "agent.planner.noise_exponent": 0.0,
    "agent.planner.kept_elites": 0,
    "agent.planner.candidate_decay": 1.0,
    "agent.model.motion_scale": -1.0,
    "agent.model.conv_chunk": 64,  # whatever it is, results agree to rounding
    "agent.model.vector_loss": "sum",
    "agent.model.residual_floor": 0.05,
    "agent.model.residual_decay": 0.99,
    "agent.model.beta": 0.0,
    "agent.model.cost_share": 0.0,
    "agent.model.within_range": False,
    "agent.sac.cost_critics": 1,
    "agent.multiplier.max_excess": 0.0,
    "agent.model.sampled": True,
}


@functools.lru_cache(maxsize=4096)  # runs of a sweep share most of their settings
def _check_part(prefix: str, part: Any) -> None:
    check_numbers(flatten(dataclasses.asdict(part), prefix))


def with_minutes(spec: RunSpec, minutes: float | None) -> RunSpec:
    """The spec with another time budget, 0 for one that is over at once; None leaves its own."""
    return spec if minutes is None else dataclasses.replace(spec, max_minutes=minutes or 1e-9)


FEW = 5  # names that a message lists beside the near ones


def choose(kind: str, name: str, valid: Iterable[str]) -> str:
    """`name` if it is valid; otherwise BadInput with the nearest valid names, and with all of them
    where they are few or none is near.
    """
    valid = list(valid)
    if name in valid:
        return name
    hint = did_you_mean(name, valid)
    if not hint or len(valid) <= FEW:
        hint += f"{'' if hint else ';'} valid: {', '.join(valid)}"
    raise BadInput(f"unknown {kind} {name!r}{hint}")


def whole_number(text: str) -> int:
    """An integer, also as 2e6 or 2_000_000. Raises ValueError for anything else, such as 2.5."""
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a whole number") from error
    if not value.is_integer():
        raise ValueError(f"{text!r} is not a whole number")
    return int(value) if "e" in text.lower() else int(text.removesuffix(".0"))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def identity_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings that decide the result, of a spec given as `to_dict` writes it."""
    flat = flatten(data)
    outside = _NOT_IDENTITY - ({"steps"} if any(flat.get(name) for name in _SCHEDULED) else set())
    return {
        k: v for k, v in flat.items() if k not in outside and not (k in _BEFORE and v == _BEFORE[k])
    }


def diff(
    a: RunSpec | Mapping[str, Any], b: RunSpec | Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Settings that decide the result and differ: name -> (value in a, value in b).

    "absent" where one has no such setting.

    Takes specs or what `to_dict` made of them, so that a spec of another version can be compared
    too.
    """
    left, right = (x.identity() if isinstance(x, RunSpec) else identity_of(x) for x in (a, b))
    names = sorted(left.keys() | right.keys())
    pairs = {
        name: tuple(side.get(name, _BEFORE.get(name, "absent")) for side in (left, right))
        for name in names
    }
    return {name: (x, y) for name, (x, y) in pairs.items() if x != y}


def to_dict(spec: RunSpec) -> dict[str, Any]:
    """A tree of plain values for spec.json; `from_dict` inverts it."""
    return json.loads(json.dumps(dataclasses.asdict(spec)))


def read_spec(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What spec.json holds: `run_id`, `spec` (see `to_dict`) and `starts`.

    Raises BadInput when there is none, DamagedFile when it is not that of a run.
    """
    folder = Path(folder)
    path = folder / SPEC_FILE
    try:
        data = read_object(path)
    except FileNotFoundError as error:
        raise BadInput(f"{folder} is not a run folder: {_why_not(folder)}") from error
    expect(data, {"run_id": str, "spec": dict, "starts": list[dict]}, path)
    expect(data["spec"], _TOP, path, "spec.")
    if data["spec"]["steps"] < 1:
        raise DamagedFile(path, None, f"spec.steps is {data['spec']['steps']}")
    return data


def _why_not(folder: Path) -> str:
    """Why a folder without a spec is no run folder, and what to give instead."""
    if str(folder).startswith(("hub:", "zoo:")):
        return (
            "hub: and zoo: go with `safedreamer evaluate`; `safedreamer pull TARGET DIR` makes a "
            "folder of what hub:TARGET names"
        )
    if (folder / "runs").is_dir():
        return f"its runs are in {folder / 'runs'}"
    return f"it has no {SPEC_FILE}" if folder.is_dir() else "there is no such folder"


# What status and export show of a run; `from_dict` checks the rest when it is trained.
_TOP = {
    "method": str,
    "task": str,
    "obs": str,
    "seed": int,
    "steps": int,
    "preset": str,
    "agent": dict,
}


def from_dict(data: Mapping[str, Any], agent_type: type) -> RunSpec:
    """The spec that `to_dict` wrote.

    Raises BadInput that names a setting which no longer exists or is missing.
    """
    return build(RunSpec, data, agent=agent_type)


def build(cls: Any, data: Mapping[str, Any], prefix: str = "", **types: type) -> Any:
    """A (nested) dataclass from plain values, of fields whose types it leaves open in `types`.

    Every field must be present and known, so that old files never load half.

    Only what `_BEFORE` lists may be missing.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    data = {
        name: _BEFORE[f"{prefix}{name}"] for name in names if f"{prefix}{name}" in _BEFORE
    } | dict(data)
    _check_names(cls.__name__, data, names, prefix)
    hints = get_type_hints(cls) | types
    return cls(**{name: _value(hints[name], data[name], f"{prefix}{name}.") for name in names})


def _check_names(what: str, data: Mapping[str, Any], names: list[str], prefix: str) -> None:
    unknown = [f"{prefix}{name}" for name in data if name not in names]
    missing = [f"{prefix}{name}" for name in names if name not in data]
    if unknown or missing:
        raise BadInput(
            f"{what} as saved has unknown settings {unknown} and lacks {missing}: another "
            "version wrote it"
        )


def _value(hint: Any, value: Any, prefix: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise BadInput(
                f"{prefix.rstrip('.')} is {value!r:.100}, not the settings of a "
                f"{getattr(hint, '__name__', hint)}"
            )
        return build(hint, value, prefix)
    if not is_a(value, hint):
        raise BadInput(f"{prefix.rstrip('.')} is {value!r:.100}, which is no {spelled(hint)}")
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(value)
    return float(value) if hint is float else value
