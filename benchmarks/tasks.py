"""Registry of tasks: the ids of Safety-Gymnasium 1.0.0, named groups of them, and a user's own
environment as `module:factory` or by its id in Gymnasium's registry.

Nothing here imports a simulator, so that listing tasks and refusing a wrong name are instant.
Action repeat is a setting of the method, not of the task.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from benchmarks.runs.plain_text import did_you_mean
from benchmarks.runs.references import is_reference

Obs: TypeAlias = Literal["vision", "coordinates", "lidar", "default"]
OBS: tuple[Obs, ...] = ("vision", "coordinates", "lidar", "default")

AGENTS = ("Point", "Car", "Racecar", "Doggo", "Ant")
# fully described by coordinates; legged robots also need their joints
WHEELED = ("Point", "Car", "Racecar")
FAMILIES: Mapping[str, tuple[int, ...]] = {
    "Goal": (0, 1, 2),
    "Button": (0, 1, 2),
    "Push": (0, 1, 2),
    "Circle": (0, 1, 2),
    "Run": (0,),
    "Race": (0, 1, 2),
    "FadingEasy": (0, 1, 2),
    "FadingHard": (0, 1, 2),
}
VELOCITY_AGENTS = ("HalfCheetah", "Hopper", "Swimmer", "Walker2d", "Ant", "Humanoid")
SHORT_FAMILIES = ("Circle", "Run", "Race")
EPISODE_ENV_STEPS = 1000  # as registered by Safety-Gymnasium
SHORT_EPISODE_ENV_STEPS = 500  # likewise
PAPER_COST_LIMIT = 2.0  # per episode; SafeDreamer, arXiv:2307.07176
COORDINATES_COST_LIMIT = 0.0  # per episode; preset `osrp_vector` of the release


class TaskObs(NamedTuple):
    """A member of a group: a task and its published observation."""

    task: str
    obs: Obs


@dataclasses.dataclass(frozen=True)
class Task:
    """One task.

    `custom` ones are a user's own; further facts about them come from the environment.
    """

    id: str
    agent: str
    name: str  # "Goal", "Velocity", ...
    level: int | None
    groups: tuple[str, ...]
    default_obs: Obs
    vision: bool
    coordinates: bool
    episode_env_steps: int | None  # None: defined by the environment
    custom: bool = False

    def cost_limit(self, obs: Obs) -> float:
        """Cost budget per episode: 0.0 for coordinates, 2.0 for all else, as published."""
        return COORDINATES_COST_LIMIT if obs == "coordinates" else PAPER_COST_LIMIT

    def check_obs(self, obs: str) -> Obs:
        """Return `obs` if this task offers it, else raise ValueError naming those it offers."""
        offered = self.observations
        for known in offered:
            if obs == known:
                return known
        raise ValueError(
            f"{self.id} has no observation {obs!r}; it offers "
            f"{', '.join(offered)}{did_you_mean(obs, offered)}"
        )

    @property
    def observations(self) -> tuple[Obs, ...]:
        """The observations this task offers.

        `default` is the simulator's (or the user's environment's) own.
        """
        if self.custom:
            return ("default",)
        vision: tuple[Obs, ...] = ("vision",) if self.vision else ()
        coordinates: tuple[Obs, ...] = ("coordinates",) if self.coordinates else ()
        return (*vision, *coordinates, "lidar", "default")


def _navigation_id(agent: str, name: str, level: int) -> str:
    return f"Safety{agent}{name}{level}-v0"


def _velocity_id(agent: str, version: int) -> str:
    return f"Safety{agent}Velocity-v{version}"


def _paper20() -> tuple[TaskObs, ...]:
    """The 20 tasks with published checkpoints."""
    vision = itertools.product(WHEELED, ("Goal", "Button", "Push"), (1, 2))
    return (
        *(TaskObs(_navigation_id(agent, name, level), "vision") for agent, name, level in vision),
        TaskObs("SafetyPointGoal1-v0", "coordinates"),
        TaskObs("SafetyCarGoal1-v0", "coordinates"),
    )


GROUPS: Mapping[str, tuple[TaskObs, ...]] = {
    "paper20": _paper20(),
    "core5": tuple(
        TaskObs(f"Safety{name}-v0", "vision")
        for name in ("PointGoal1", "PointGoal2", "CarGoal1", "PointPush1", "PointButton1")
    ),
    # paper20 contains those of Point and Car
    "coordinates": tuple(
        TaskObs(_navigation_id(agent, "Goal", 1), "coordinates") for agent in WHEELED
    ),
    "velocity": tuple(TaskObs(_velocity_id(agent, 1), "lidar") for agent in VELOCITY_AGENTS),
    "circle": tuple(
        TaskObs(_navigation_id(agent, "Circle", level), "lidar")
        for agent in AGENTS
        for level in (1, 2)
    ),
    "run": tuple(TaskObs(_navigation_id(agent, "Run", 0), "lidar") for agent in AGENTS),
}


def _groups_of(task_id: str) -> tuple[str, ...]:
    return tuple(
        name
        for name, members in GROUPS.items()
        if any(member.task == task_id for member in members)
    )


def _navigation_task(agent: str, name: str, level: int) -> Task:
    task_id = _navigation_id(agent, name, level)
    groups = _groups_of(task_id)
    return Task(
        id=task_id,
        agent=agent,
        name=name,
        level=level,
        groups=groups,
        default_obs="vision" if "paper20" in groups else "lidar",
        vision=True,
        coordinates=agent in WHEELED,
        episode_env_steps=SHORT_EPISODE_ENV_STEPS if name in SHORT_FAMILIES else EPISODE_ENV_STEPS,
    )


def _velocity_task(agent: str, version: int) -> Task:
    task_id = _velocity_id(agent, version)
    return Task(
        id=task_id,
        agent=agent,
        name="Velocity",
        level=None,
        groups=_groups_of(task_id),
        default_obs="lidar",
        vision=False,
        coordinates=False,
        episode_env_steps=EPISODE_ENV_STEPS,
    )


@functools.cache
def tasks() -> Mapping[str, Task]:
    """Every task of Safety-Gymnasium 1.0.0 by id (its `Vision` and `Debug` variants are
    observations and tools, not tasks).
    """
    navigation = [
        _navigation_task(agent, name, level)
        for name, levels in FAMILIES.items()
        for agent in AGENTS
        for level in levels
    ]
    velocity = [_velocity_task(agent, version) for agent in VELOCITY_AGENTS for version in (0, 1)]
    return {task.id: task for task in (*navigation, *velocity)}


def get_task(name: str) -> Task:
    """The task of that id, or the user's own for `module:factory`, `module:Env-v0` and `my/Env-v0`.

    Raises ValueError for an unknown name, with the nearest valid ones.
    """
    if ":" in name or "/" in name:
        return _custom_task(name)
    known = tasks()
    if name in known:
        return known[name]
    for suffix in ("Vision", "Debug"):
        plain = name.replace(f"{suffix}-v0", "-v0")
        if plain != name and plain in known:
            how = (
                "choose observation vision"
                if suffix == "Vision"
                else "the keyboard variant is not offered"
            )
            raise ValueError(f"task {name!r}: write {plain} and {how}")
    raise ValueError(
        f"unknown task {name!r}{did_you_mean(name, (*known, *GROUPS))}; groups: "
        f"{', '.join(GROUPS)}; your own: module:factory or module:Env-v0"
    )


def expand(name: str, obs: Obs | None = None) -> tuple[TaskObs, ...]:
    """Return the tasks of a group, or the one task of that name, each with an observation.

    The observation is `obs`, else the published one. Raises ValueError for an unknown name or an
    observation that a task lacks.
    """
    if name in GROUPS:
        members = GROUPS[name]
    else:
        task = get_task(name)
        members = (TaskObs(task.id, task.default_obs),)
    if obs is None:
        return members
    return tuple(
        dict.fromkeys(
            TaskObs(member.task, get_task(member.task).check_obs(obs)) for member in members
        )
    )


def is_env_id(text: str) -> bool:
    """Whether the text is an id of Gymnasium's registry: it ends in a version."""
    return re.fullmatch(r"(?:[\w-]+/)?[\w.-]+-v\d+", text) is not None


def _custom_task(name: str) -> Task:
    module, colon, target = name.rpartition(":")
    registered = is_env_id(target) and (
        not colon or all(part.isidentifier() for part in module.split("."))
    )
    if not registered and not is_reference(name):
        raise ValueError(
            f"task {name!r}: an environment of your own is written module:factory, such as "
            "my_package.envs:make, or as a registered id, such as my_package:Nav-v0 or my/Nav-v0"
        )
    return Task(
        id=name,
        agent="custom",
        name=target,
        level=None,
        groups=(),
        default_obs="default",
        vision=False,
        coordinates=False,
        episode_env_steps=None,
        custom=True,
    )
