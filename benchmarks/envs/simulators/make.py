"""The simulator of a task."""

from __future__ import annotations

from benchmarks.envs.simulators.navigation import Navigation
from benchmarks.envs.simulators.simulator import Simulator, View
from benchmarks.envs.simulators.users import Custom
from benchmarks.envs.simulators.velocity import Velocity
from benchmarks.tasks import Obs, Task


def make_simulator(task: Task, obs: Obs, view: View | None, resize: int = 0) -> Simulator:
    """The simulator of a task; `view` None if nothing will be rendered for people.

    `resize` is the side of the images of a user's environment, 0 for their own.
    """
    if task.custom:
        return Custom(task, view, resize)
    if task.name == "Velocity":
        return Velocity(task, view)
    return Navigation(task, obs, view)
