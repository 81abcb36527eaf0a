"""Makes the simulator of a task."""

from __future__ import annotations

from benchmarks.envs.simulators.navigation import Navigation
from benchmarks.envs.simulators.simulator import Simulator, View
from benchmarks.envs.simulators.users import Custom
from benchmarks.envs.simulators.velocity import Velocity
from benchmarks.tasks import Obs, Task


def make_simulator(task: Task, obs: Obs, view: View | None, resize: int = 0) -> Simulator:
    """The simulator of a task; `view` is None if `render()` is not used.

    `resize` is the side of the resized images of a user's environment; 0 keeps their size.
    """
    if task.custom:
        return Custom(task, view, resize)
    if task.name == "Velocity":
        return Velocity(task, view)
    return Navigation(task, obs, view)
