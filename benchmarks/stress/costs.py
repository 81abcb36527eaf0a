"""Modified costs: by depth in hazards, by excess over a bound, or delayed.

docs/concepts/stress/tasks.md

The share s interpolates from the task's cost, 0 or 1 per simulator step, to a continuous one.
Dynamics and observations are unchanged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from benchmarks.envs.custom import Transition
from benchmarks.envs.simulators.velocity import Velocity
from benchmarks.stress.layouts import ChangedTask
from benchmarks.stress.wrapped import Perturbed


class GradedCost(ChangedTask):
    """Makes part of a step's cost depend on how deep the robot is in hazards.

    cost' = (1 - s) [cost > 0] + s (sum over hazards of max(0, 1 - distance / size) + [other costs])
    """

    at_most = 1

    def change(self, task: Any) -> None:
        share, costs_of = self.strength, task.calculate_cost
        task.cost_conf.constrain_indicator = False  # raw costs, size - distance, instead of 0 or 1

        def graded() -> dict[str, float]:
            costs = costs_of()
            depth = costs["cost_hazards"] / task.hazards.size
            others = costs["cost_sum"] - costs["cost_hazards"] > 0
            step = (1.0 - share) * (costs["cost_sum"] > 0) + share * (depth + others)
            return costs | {"cost_sum": float(step)}

        task.calculate_cost = graded


class ExcessCost(Perturbed):
    """Makes part of a step's cost depend on how far the task's bound is exceeded.

    cost' = (1 - s) [cost > 0] + s max(0, value / bound - 1)

    In Circle and Run the value is the robot's distance from the centre, perpendicular to the walls
    that cost, and the bound is that of the walls; in velocity tasks they are speed and speed limit.
    """

    at_most = 1

    def __init__(self, env: Any, share: float) -> None:
        super().__init__(env, share)
        simulator: Any = self.base.simulator
        excess, step_of = excess_of(simulator), simulator.step

        def step(action: Any, observe: bool) -> Transition:
            result = step_of(action, observe)
            cost = (1.0 - share) * (result.cost > 0) + share * excess()
            return result._replace(cost=float(cost))

        if share:
            simulator.step = step


def excess_of(simulator: Any) -> Callable[[], float]:
    """The function for the last simulator step's excess over the bound, relative to it; 0 within.

    Raises ValueError for tasks with neither walls that cost nor a speed limit.
    """
    if isinstance(simulator, Velocity):
        return lambda: max(0.0, simulator.speed / simulator.speed_limit - 1.0)
    if "sigwalls" not in simulator.costly:
        raise ValueError("ExcessCost: neither walls nor a speed limit cost in this task")

    def beyond_walls() -> float:
        task = simulator.task
        across = task.agent.pos[: task.sigwalls.num // 2]  # two walls bound x, four x and y
        return max(0.0, float(abs(across).max()) / task.sigwalls.locate_factor - 1.0)

    return beyond_walls


class DelayedCost(Perturbed):
    """The cost from `strength` agent steps ago, 0 before the first; outstanding cost is added to
    the episode's last step, so that the episode cost is unchanged.
    """

    whole = True

    def begin(self) -> None:
        self._due: deque[float] = deque([0.0] * int(self.strength))

    def costed(self, cost: float, last: bool) -> float:
        self._due.append(cost)
        return sum(self._due) if last else self._due.popleft()
