"""Registry of perturbations by name, and their suites.

User-defined ones are named `module:factory`, a wrapper factory(env, strength) like those of this
package (benchmarks.stress.wrapped).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.envs.factory import EnvFactory
from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import choose
from benchmarks.stress import models, needs
from benchmarks.stress.perturbation import (
    OWN,
    Needs,
    Perturbation,
    Policy,
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


def _level(policy: Policy, strength: float) -> str:
    if policy.spec.obs == "coordinates":
        return "an observation that is the same on every level (lidar, vision)"
    wanted = int(strength or 1)
    found = higher(policy.task, wanted)
    return "" if found and policy.task.level else f"a level {wanted} above that of the task"


def _raise_level(make: EnvFactory, strength: float) -> EnvFactory:
    from benchmarks.tasks import get_task

    if not strength:
        return make
    found = higher(get_task(make.task), int(strength))
    if found is None or strength != int(strength):
        raise BadInput(f"{make.task} has no level {strength:g} above its own")
    return dataclasses.replace(make, task=found.id)


# module of wrappers -> family of their perturbations
FAMILIES = {
    "sensors": "sensors", "lidar": "sensors", "images": "images", "looks": "images",
    "actuators": "actuators", "dynamics": "dynamics", "layouts": "tasks", "costs": "tasks",
}  # fmt: skip


def _wrapper(
    wrapper: str,
    name: str,
    changes: str,
    unit: str,
    strengths: tuple[float, ...],
    required: Needs,
    **limits: Any,
) -> Perturbation:
    """The perturbation by a wrapper of this package, `module:Class`."""
    family, env = FAMILIES[wrapper.partition(":")[0]], wrapping(f"benchmarks.stress.{wrapper}")
    return Perturbation(name, family, changes, unit, strengths, required, env, **limits)


_TABLE = (
    _wrapper("sensors:Noise", "sensor_noise", "Gaussian noise on every reading",
             "std, of each part's size", (0.05, 0.1, 0.3), needs.flat),
    _wrapper("sensors:Bias", "sensor_bias", "a constant offset of every reading",
             "std, of each part's size", (0.05, 0.1, 0.3), needs.flat),
    _wrapper("sensors:Delay", "sensor_delay", "observations of some steps ago",
             "agent steps", (1, 2, 4), possible, whole=True),
    _wrapper("sensors:Dropout", "sensor_dropout", "steps that show the last observation again",
             "probability", (0.2, 0.5, 0.8), possible, at_most=1),
    _wrapper("lidar:Blind", "lidar_blind", "a sector around the front reads 0",
             "share of the circle", (0.125, 0.25, 0.5), needs.lidar, at_most=1),
    _wrapper("lidar:Ghosts", "lidar_ghosts", "hazards in the lidar that are not there",
             "hazards", (1, 3, 6), needs.lidar_of_hazards, whole=True),
    _wrapper("lidar:Missing", "lidar_missing", "hazards that the lidar does not show",
             "hazards", (1, 3, 6), needs.lidar_of_hazards, whole=True),
    _wrapper("images:Noise", "image_noise", "Gaussian noise on every value",
             "std, of 0..1", (0.08, 0.18, 0.38), needs.pictures),
    _wrapper("images:Blur", "image_blur", "Gaussian blur",
             "std in pixels", (1, 2, 4), needs.pictures),
    _wrapper("images:Occlusion", "image_occlusion", "a black square",
             "share of the side", (0.2, 0.4, 0.6), needs.pictures, at_most=1),
    _wrapper("images:Brightness", "image_brightness", "brighter pixels",
             "added value, of 0..1", (0.1, 0.3, 0.5), needs.pictures),
    _wrapper("images:Glare", "image_glare", "a white disc with a soft edge",
             "radius, share of the side", (0.1, 0.2, 0.4), needs.pictures),
    _wrapper("images:Colour", "image_colour", "a factor on each colour channel",
             "largest change of a factor", (0.2, 0.5, 0.9), needs.pictures),
    _wrapper("looks:CameraTilt", "camera_tilt", "cameras looking further down",
             "degrees", (5, 15, 30), needs.scene, at_most=45),
    _wrapper("looks:Floor", "floor_colour", "geom_rgba of the floor",
             "share of another colour", (0.25, 0.5, 1), needs.scene, at_most=1),
    _wrapper("looks:Sky", "sky_colour", "the sky's texture",
             "share of white", (0.25, 0.5, 1), needs.scene, at_most=1),
    _wrapper("looks:Objects", "object_colour", "geom_rgba of objects",
             "share of another colour", (0.25, 0.5, 1), needs.scene, at_most=1),
    _wrapper("actuators:Noise", "action_noise", "Gaussian noise on actions",
             "std, of -1..1", (0.1, 0.3, 0.6), possible),
    _wrapper("actuators:Delay", "action_delay", "actions of some steps ago",
             "agent steps", (1, 2, 4), possible, whole=True),
    _wrapper("actuators:Gain", "action_gain", "weaker actions",
             "lost share", (0.2, 0.4, 0.7), possible, at_most=1),
    _wrapper("actuators:WeakSide", "action_weak_side", "weaker positive values of the last action",
             "lost share", (0.3, 0.6, 1), possible, at_most=1),
    _wrapper("dynamics:Mass", "mass", "body_mass, body_inertia of the robot",
             "relative increase", (0.25, 0.5, 1), needs.physics),
    _wrapper("dynamics:Friction", "friction", "geom_friction",
             "lost share", (0.3, 0.6, 0.9), needs.friction, at_most=1),
    _wrapper("dynamics:Gear", "gear", "actuator_gear",
             "lost share", (0.2, 0.4, 0.7), needs.physics, at_most=1),
    _wrapper("dynamics:Damping", "damping", "dof_damping",
             "relative increase", (0.5, 1, 3), needs.physics),
    _wrapper("layouts:MoreHazards", "hazard_number", "hazards.num",
             "added hazards", (2, 4, 8), needs.countable_hazards, whole=True),
    _wrapper("layouts:LargerHazards", "hazard_size", "hazards.size",
             "relative increase", (0.25, 0.5, 1), needs.hazards),
    _wrapper("layouts:SmallerGoal", "goal_size", "goal.size",
             "lost share", (0.2, 0.4, 0.6), needs.goal, at_most=0.99),
    _wrapper("layouts:NearerWalls", "wall_distance", "sigwalls.locate_factor",
             "lost share", (0.05, 0.15, 0.25), needs.walls, at_most=0.99),
    _wrapper("layouts:SmallerArena", "arena_smaller", "placements_conf.extents",
             "lost share of the side", (0.05, 0.1, 0.2), needs.roomy_arena, at_most=0.2),
    _wrapper("layouts:LargerArena", "arena_larger", "placements_conf.extents",
             "relative increase of the side", (0.25, 0.5, 0.75), needs.arena, at_most=0.75),
    _wrapper("costs:GradedCost", "cost_depth", "the form of the cost: depth in hazards",
             "share of the depth", (0.5, 1), needs.hazards, at_most=1),
    _wrapper("costs:ExcessCost", "cost_excess", "the form of the cost: excess over a bound",
             "share of the excess", (0.5, 1), needs.bound, at_most=1),
    _wrapper("costs:DelayedCost", "cost_delay", "costs that arrive later",
             "agent steps", (1, 4, 15), needs.predicted_costs, whole=True),
    Perturbation("level", "tasks", "the task's level", "levels up",
                 (1,), _level, _raise_level, whole=True),
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


def available(policy: Policy) -> list[str]:
    """Names of the perturbations that apply to the policy."""
    return [name for name, each in PERTURBATIONS.items() if not each.refusal(policy)]


def check(policy: Policy, perturbation: Perturbation, strengths: Sequence[float]) -> None:
    """Raise BadInput, listing the applicable ones, if a perturbation does not apply."""
    for strength in strengths:
        if lacking := perturbation.refusal(policy, strength):
            raise BadInput(
                f"{perturbation.name} needs {lacking}, which {policy.where} lacks; it can have "
                f"{', '.join(available(policy))}"
            )
