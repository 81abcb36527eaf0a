"""Flat observations of the navigation tasks: `coordinates`, as in the SafeDreamer release, and
`lidar`.

`coordinates` (docs/concepts/safedreamer.md#observations-and-actions) holds, in this order:
velocimeter x, y | accelerometer x | gyro z | magnetometer x, y, z | x, y of each object in the
robot frame | rotation: x, y of the first row of the robot's matrix | x, y of the robot's world
position.
Objects are goal, hazards, buttons, push_box, gremlins, vases and pillars, in this order, where the
task has them. The Goal tasks include only goal and hazards, as in the release: 29 numbers for
PointGoal1. The vases of Goal2, which cost, are therefore not observed (lidar includes them), nor is
the pause of the Button tasks after a press, which lidar marks by an empty scan.

Robot frame: `world_vector @ matrix`, the transpose of the robot's matrix applied to the vector from
robot to object; x is forward for Point and Racecar. The vector's height is dropped, as in the
release (Safety-Gymnasium's `_ego_xy` keeps the robot's; the two differ only while a robot tilts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LIDAR = "_lidar"  # suffix of Safety-Gymnasium's name for the lidar of one kind of object
# Sensor -> the components the release keeps.
SENSORS: dict[str, slice] = {
    "velocimeter": slice(0, 2),
    "accelerometer": slice(0, 1),
    "gyro": slice(2, 3),
    "magnetometer": slice(0, 3),
}
# Kind of object -> name of its bodies in the MuJoCo model.
OBJECT_BODIES: dict[str, str] = {
    "goal": "goal",
    "hazards": "hazard{i}",
    "buttons": "button{i}",
    "push_box": "push_box",
    "gremlins": "gremlin{i}obj",
    "vases": "vase{i}",
    "pillars": "pillar{i}",
}
GOAL_TASK_OBJECTS = ("goal", "hazards")


def slices(sizes: Mapping[str, int]) -> dict[str, slice]:
    """Consecutive slices of the given sizes."""
    layout, start = {}, 0
    for name, size in sizes.items():
        layout[name] = slice(start, start + size)
        start += size
    return layout


class Coordinates:
    """Reads the coordinates of one Safety-Gymnasium task object.

    Call `bind` after every reset: each reset creates a new model.
    """

    def __init__(self, task: Any, kinds: Sequence[str]) -> None:
        self._task = task
        self._bodies: list[str] = []
        sizes = {name: part.stop - part.start for name, part in SENSORS.items()}
        for kind in kinds:
            thing = getattr(task, kind, None)
            if thing is None:
                continue
            names = [OBJECT_BODIES[kind].format(i=i) for i in range(getattr(thing, "num", 1))]
            self._bodies += names
            sizes[kind] = 2 * len(names)
        sizes |= {"rotation": 2, "position": 2}
        self.layout = slices(sizes)
        self.size = sum(sizes.values())

    def bind(self) -> None:
        """Look up the sensors and bodies of the current model."""
        model = self._task.model
        self._agent = model.body("agent").id
        self._ids = np.array([model.body(name).id for name in self._bodies], dtype=np.intp)
        addresses = []
        for name, part in SENSORS.items():
            start = model.sensor_adr[model.sensor(name).id]
            addresses += range(start + part.start, start + part.stop)
        self._addresses = np.array(addresses, dtype=np.intp)

    def read(self) -> np.ndarray:
        """The observation [D], float64, of the simulator's current state."""
        data = self._task.data
        matrix = data.xmat[self._agent].reshape(3, 3)
        position = data.xpos[self._agent, :2]
        objects = (data.xpos[self._ids, :2] - position) @ matrix[:2, :2]
        parts = (data.sensordata[self._addresses], objects.ravel(), matrix[0, :2], position)
        return np.concatenate(parts)


def lidar_layout(task: Any) -> dict[str, slice]:
    """Slices of Safety-Gymnasium's flat observation, by its own names (`hazards_lidar`, `gyro`,
    ...).
    """
    return slices(
        {name: int(np.prod(space.shape)) for name, space in task.obs_info.obs_space_dict.items()}
    )
