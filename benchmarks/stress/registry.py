"""Registry of perturbations by name, and their suites.

User-defined ones are named `module:factory`, a wrapper factory(env, strength) like those of this
package (benchmarks.stress.wrapped).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from benchmarks.envs.factory import EnvFactory
from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import choose
from benchmarks.stress import models, needs
from benchmarks.stress.perturbation import (
    OWN,
    ChangeEnv,
    Perturbation,
    Subject,
    possible,
    wrapping,
)
from benchmarks.tasks import Task, tasks


def higher(task: Task, levels: int) -> Task | None:
    """The task `levels` levels above, or None."""
    if task.level is None:
        return None
    name = task.id.replace(f"{task.name}{task.level}-", f"{task.name}{task.level + levels}-")
    return tasks().get(name)


def _level(subject: Subject, strength: float) -> str:
    if subject.spec.obs == "coordinates":
        return "an observation that is the same on every level (lidar, vision)"
    wanted = int(strength or 1)
    found = higher(subject.task, wanted)
    return "" if found and subject.task.level else f"a level {wanted} above that of the task"


def _raise_level(make: EnvFactory, strength: float) -> EnvFactory:
    from benchmarks.tasks import get_task

    if not strength:
        return make
    found = higher(get_task(make.task), int(strength))
    if found is None or strength != int(strength):
        raise BadInput(f"{make.task} has no level {strength:g} above its own")
    return dataclasses.replace(make, task=found.id)


def _wrapper(module: str, name: str) -> ChangeEnv:
    return wrapping(f"benchmarks.stress.{module}:{name}")


_TABLE = (
    Perturbation(
        "sensor_noise", "sensors", "Gaussian noise on every reading", "std, of each part's size",
        (0.05, 0.1, 0.3), needs.flat, _wrapper("sensors", "Noise"),
    ),
    Perturbation(
        "sensor_bias", "sensors", "a constant offset of every reading", "std, of each part's size",
        (0.05, 0.1, 0.3), needs.flat, _wrapper("sensors", "Bias"),
    ),
    Perturbation(
        "sensor_delay", "sensors", "observations of some steps ago", "agent steps",
        (1, 2, 4), possible, _wrapper("sensors", "Delay"), whole=True,
    ),
    Perturbation(
        "sensor_dropout", "sensors", "steps that show the last observation again", "probability",
        (0.2, 0.5, 0.8), possible, _wrapper("sensors", "Dropout"), at_most=1,
    ),
    Perturbation(
        "lidar_blind", "sensors", "a sector around the front reads 0", "share of the circle",
        (0.125, 0.25, 0.5), needs.lidar, _wrapper("lidar", "Blind"), at_most=1,
    ),
    Perturbation(
        "lidar_ghosts", "sensors", "hazards in the lidar that are not there", "hazards",
        (1, 3, 6), needs.lidar_of_hazards, _wrapper("lidar", "Ghosts"), whole=True,
    ),
    Perturbation(
        "lidar_missing", "sensors", "hazards that the lidar does not show", "hazards",
        (1, 3, 6), needs.lidar_of_hazards, _wrapper("lidar", "Missing"), whole=True,
    ),
    Perturbation(
        "image_noise", "images", "Gaussian noise on every value", "std, of 0..1",
        (0.08, 0.18, 0.38), needs.pictures, _wrapper("images", "Noise"),
    ),
    Perturbation(
        "image_blur", "images", "Gaussian blur", "std in pixels",
        (1, 2, 4), needs.pictures, _wrapper("images", "Blur"),
    ),
    Perturbation(
        "image_occlusion", "images", "a black square", "share of the side",
        (0.2, 0.4, 0.6), needs.pictures, _wrapper("images", "Occlusion"), at_most=1,
    ),
    Perturbation(
        "image_brightness", "images", "brighter pixels", "added value, of 0..1",
        (0.1, 0.3, 0.5), needs.pictures, _wrapper("images", "Brightness"),
    ),
    Perturbation(
        "image_glare", "images", "a white disc with a soft edge", "radius, share of the side",
        (0.1, 0.2, 0.4), needs.pictures, _wrapper("images", "Glare"),
    ),
    Perturbation(
        "image_colour", "images", "a factor on each colour channel", "largest change of a factor",
        (0.2, 0.5, 0.9), needs.pictures, _wrapper("images", "Colour"),
    ),
    Perturbation(
        "camera_tilt", "images", "cameras looking further down", "degrees",
        (5, 15, 30), needs.scene, _wrapper("looks", "CameraTilt"), at_most=45,
    ),
    Perturbation(
        "floor_colour", "images", "geom_rgba of the floor", "share of another colour",
        (0.25, 0.5, 1), needs.scene, _wrapper("looks", "Floor"), at_most=1,
    ),
    Perturbation(
        "sky_colour", "images", "the sky's texture", "share of white",
        (0.25, 0.5, 1), needs.scene, _wrapper("looks", "Sky"), at_most=1,
    ),
    Perturbation(
        "object_colour", "images", "geom_rgba of objects", "share of another colour",
        (0.25, 0.5, 1), needs.scene, _wrapper("looks", "Objects"), at_most=1,
    ),
    Perturbation(
        "action_noise", "actuators", "Gaussian noise on actions", "std, of -1..1",
        (0.1, 0.3, 0.6), possible, _wrapper("actuators", "Noise"),
    ),
    Perturbation(
        "action_delay", "actuators", "actions of some steps ago", "agent steps",
        (1, 2, 4), possible, _wrapper("actuators", "Delay"), whole=True,
    ),
    Perturbation(
        "action_gain", "actuators", "weaker actions", "lost share",
        (0.2, 0.4, 0.7), possible, _wrapper("actuators", "Gain"), at_most=1,
    ),
    Perturbation(
        "action_weak_side", "actuators", "weaker positive values of the last action", "lost share",
        (0.3, 0.6, 1), possible, _wrapper("actuators", "WeakSide"), at_most=1,
    ),
    Perturbation(
        "mass", "dynamics", "body_mass, body_inertia of the robot", "relative increase",
        (0.25, 0.5, 1), needs.physics, _wrapper("dynamics", "Mass"),
    ),
    Perturbation(
        "friction", "dynamics", "geom_friction", "lost share",
        (0.3, 0.6, 0.9), needs.friction, _wrapper("dynamics", "Friction"), at_most=1,
    ),
    Perturbation(
        "gear", "dynamics", "actuator_gear", "lost share",
        (0.2, 0.4, 0.7), needs.physics, _wrapper("dynamics", "Gear"), at_most=1,
    ),
    Perturbation(
        "damping", "dynamics", "dof_damping", "relative increase",
        (0.5, 1, 3), needs.physics, _wrapper("dynamics", "Damping"),
    ),
    Perturbation(
        "hazard_number", "tasks", "hazards.num", "added hazards",
        (2, 4, 8), needs.countable_hazards, _wrapper("layouts", "MoreHazards"), whole=True,
    ),
    Perturbation(
        "hazard_size", "tasks", "hazards.size", "relative increase",
        (0.25, 0.5, 1), needs.hazards, _wrapper("layouts", "LargerHazards"),
    ),
    Perturbation(
        "goal_size", "tasks", "goal.size", "lost share",
        (0.2, 0.4, 0.6), needs.goal, _wrapper("layouts", "SmallerGoal"), at_most=0.99,
    ),
    Perturbation(
        "wall_distance", "tasks", "sigwalls.locate_factor", "lost share",
        (0.05, 0.15, 0.25), needs.walls, _wrapper("layouts", "NearerWalls"), at_most=0.99,
    ),
    Perturbation(
        "arena_smaller", "tasks", "placements_conf.extents", "lost share of the side",
        (0.05, 0.1, 0.2), needs.roomy_arena, _wrapper("layouts", "SmallerArena"), at_most=0.2,
    ),
    Perturbation(
        "arena_larger", "tasks", "placements_conf.extents", "relative increase of the side",
        (0.25, 0.5, 0.75), needs.arena, _wrapper("layouts", "LargerArena"), at_most=0.75,
    ),
    Perturbation(
        "cost_depth", "tasks", "the form of the cost: depth in hazards", "share of the depth",
        (0.5, 1), needs.hazards, _wrapper("costs", "GradedCost"), at_most=1,
    ),
    Perturbation(
        "cost_excess", "tasks", "the form of the cost: excess over a bound", "share of the excess",
        (0.5, 1), needs.bound, _wrapper("costs", "ExcessCost"), at_most=1,
    ),
    Perturbation(
        "cost_delay", "tasks", "costs that arrive later", "agent steps",
        (1, 4, 15), needs.predicted_costs, _wrapper("costs", "DelayedCost"), whole=True,
    ),
    Perturbation(
        "level", "tasks", "the task's level", "levels up",
        (1,), _level, _raise_level, whole=True,
    ),
    *models.PERTURBATIONS,
)  # fmt: skip
PERTURBATIONS: Mapping[str, Perturbation] = {each.name: each for each in _TABLE}
SUITES: Mapping[str, tuple[str, ...]] = {
    "robustness": tuple(each.name for each in _TABLE if each.env is not None),
    "model": tuple(each.name for each in _TABLE if each.agent is not None),
}


def find(name: str) -> Perturbation:
    """The perturbation of that name, or a user's own `module:factory`.

    Raises BadInput, with similar names, if there is none.
    """
    if ":" in name:
        return Perturbation(name, OWN, name, "strength", (), possible, wrapping(name))
    return PERTURBATIONS[choose("perturbation", name, PERTURBATIONS)]


def available(subject: Subject) -> list[str]:
    """Names of the perturbations that apply to the subject."""
    return [name for name, each in PERTURBATIONS.items() if not each.refusal(subject)]


def check(subject: Subject, perturbation: Perturbation, strengths: Sequence[float]) -> None:
    """Raise BadInput, listing the applicable ones, if a perturbation does not apply."""
    for strength in strengths:
        if lacking := perturbation.refusal(subject, strength):
            raise BadInput(
                f"{perturbation.name} needs {lacking}, which {subject.where} lacks; it can have "
                f"{', '.join(available(subject))}"
            )
