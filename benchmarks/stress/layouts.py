"""Perturbed tasks: number and size of hazards, size of goal and arena, distance of walls.

docs/concepts/stress/tasks.md

Fields of Safety-Gymnasium's task object are changed before the first layout is drawn, so that its
placement rules still hold.
"""

from __future__ import annotations

from typing import Any

from benchmarks.stress.wrapped import Perturbed

ALMOST_ALL = 0.99  # largest share that can be taken away: something has to be left


class ChangedTask(Perturbed):
    """Changes the task object once."""

    def __init__(self, env: Any, strength: float) -> None:
        super().__init__(env, strength)
        task = getattr(self.base.simulator, "task", None)
        if task is None:
            raise ValueError(
                f"{type(self).__name__}: only Safety-Gymnasium's navigation tasks have one"
            )
        if strength:
            self.change(task)

    def change(self, task: Any) -> None:
        """Change the task object; called before its first reset."""
        raise NotImplementedError


class MoreHazards(ChangedTask):
    """`hazards.num` plus strength."""

    whole = True

    def change(self, task: Any) -> None:
        task.hazards.num += int(self.strength)


class LargerHazards(ChangedTask):
    """`hazards.size`, the radius in which a hazard costs, times 1 + strength."""

    def change(self, task: Any) -> None:
        task.hazards.size *= 1.0 + self.strength


class SmallerGoal(ChangedTask):
    """`goal.size`, the radius at which the goal is reached, times 1 - strength."""

    at_most = ALMOST_ALL

    def change(self, task: Any) -> None:
        task.goal.size *= 1.0 - self.strength


class NearerWalls(ChangedTask):
    """`sigwalls.locate_factor`, the distance from the centre beyond which steps cost, times
    1 - strength; these walls are not observed by any sensor.
    """

    at_most = ALMOST_ALL

    def change(self, task: Any) -> None:
        factor, walls = 1.0 - self.strength, task.sigwalls
        walls.locate_factor *= factor
        walls.locations = [(x * factor, y * factor) for x, y in walls.locations]


class SmallerArena(ChangedTask):
    """`placements_conf.extents`, the rectangle in which robot and objects are placed, times
    1 - strength.
    """

    at_most = ALMOST_ALL

    def change(self, task: Any) -> None:
        scale_extents(task, 1.0 - self.strength)


class LargerArena(ChangedTask):
    """`placements_conf.extents` times 1 + strength; at most the size of the visible floor."""

    def change(self, task: Any) -> None:
        scale_extents(task, 1.0 + self.strength)
        farthest, floor = max(map(abs, task.placements_conf.extents)), min(task.floor_conf.size[:2])
        if farthest > floor:
            raise ValueError(
                f"LargerArena: strength {self.strength} places objects up to {farthest:g} m from "
                f"the centre, and the floor ends at {floor:g} m"
            )


def scale_extents(task: Any, factor: float) -> None:
    """Multiply the arena's sides by `factor` about the origin."""
    task.placements_conf.extents = [factor * x for x in task.placements_conf.extents]
