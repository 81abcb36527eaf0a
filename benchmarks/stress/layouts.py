"""Changed tasks: number and size of hazards, size of the goal, distance of walls, form of the cost.

docs/concepts/stress/tasks.md

Fields of Safety-Gymnasium's task object, changed before the first layout is drawn, so that
placements keep their rules.
"""

from __future__ import annotations

from typing import Any

from benchmarks.stress.wrapped import Perturbed


class _Task(Perturbed):
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
        """Change it, before its first reset."""
        raise NotImplementedError

    def shrunk(self, what: str) -> float:
        """1 - strength. Raises ValueError unless something is left of `what`."""
        if self.strength >= 1:
            raise ValueError(f"{type(self).__name__}: strength {self.strength} leaves no {what}")
        return 1.0 - self.strength


class MoreHazards(_Task):
    """`hazards.num` plus strength."""

    whole = True

    def change(self, task: Any) -> None:
        task.hazards.num += int(self.strength)


class LargerHazards(_Task):
    """`hazards.size`, the radius within which a hazard costs, times 1 + strength."""

    def change(self, task: Any) -> None:
        task.hazards.size *= 1.0 + self.strength


class SmallerGoal(_Task):
    """`goal.size`, the radius at which the goal is reached, times 1 - strength."""

    def change(self, task: Any) -> None:
        task.goal.size *= self.shrunk("goal")


class NearerWalls(_Task):
    """`sigwalls.locate_factor`, the distance from the centre beyond which it costs, times
    1 - strength; no sensor shows these walls.
    """

    def change(self, task: Any) -> None:
        factor, walls = self.shrunk("room between the walls"), task.sigwalls
        walls.locate_factor *= factor
        walls.locations = [(x * factor, y * factor) for x, y in walls.locations]


class GradedCost(_Task):
    """Part of a step's cost follows from how deep the robot is in hazards.

    cost' = (1 - s) [cost > 0] + s (sum over hazards of max(0, 1 - distance / size) + [other costs])
    """

    def change(self, task: Any) -> None:
        if self.strength > 1:
            raise ValueError(f"GradedCost: strength {self.strength} must be at most 1")
        share, costs_of = self.strength, task.calculate_cost
        task.cost_conf.constrain_indicator = False  # raw: sizes less distances, not 0 or 1

        def graded() -> dict[str, float]:
            costs = costs_of()
            depth = costs["cost_hazards"] / task.hazards.size
            others = costs["cost_sum"] - costs["cost_hazards"] > 0
            step = (1.0 - share) * (costs["cost_sum"] > 0) + share * (depth + others)
            return costs | {"cost_sum": float(step)}

        task.calculate_cost = graded
