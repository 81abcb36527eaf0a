"""Perturbed physics of the simulator's model: mass, friction, gear, damping.

docs/concepts/stress/dynamics.md

Fields of MuJoCo's model are multiplied after every reset, so that layout and first observation
equal those of the undisturbed episode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.envs.compat import mujoco
from benchmarks.stress.wrapped import Perturbed


class _Scaled(Perturbed):
    """Multiplies fields of the model by 1 + sign * strength, in all rows unless `rows` is
    overridden.
    """

    fields: tuple[str, ...] = ()
    sign = 1.0

    def __init__(self, env: Any, strength: float) -> None:
        super().__init__(env, strength)
        if not hasattr(type(self.base.simulator), "physics"):
            raise ValueError(f"{type(self).__name__}: your own environment exposes no MuJoCo model")
        self._of: Any = None  # the last changed model
        self._before: dict[str, np.ndarray] = {}

    def begin(self) -> None:
        model, data = self.base.simulator.physics  # type: ignore[attr-defined]
        if model is not self._of:  # otherwise the model is kept and already changed
            self._of = model
            for name in self.fields:
                field, rows = getattr(model, name), self.rows(model)
                field[rows] = field[rows] * (1.0 + self.sign * self.strength)
            # Update derived quantities (joint inertia, invweights). Scratch data, because
            # mj_setConst moves it to the model's reference pose.
            mujoco.mj_setConst(model, mujoco.MjData(model))
        mujoco.mj_forward(model, data)

    def rows(self, model: Any) -> Any:
        """Index of the rows to change; all unless overridden."""
        return slice(None)


def robot_bodies(model: Any) -> np.ndarray:
    """Ids of the robot's bodies: `agent` and its descendants in navigation tasks, all bodies in
    velocity tasks.
    """
    names = {model.body(i).name: i for i in range(model.nbody)}
    if "agent" not in names:
        return np.arange(1, model.nbody)
    root = model.body_rootid[names["agent"]]
    return np.flatnonzero(model.body_rootid == root)


class Mass(_Scaled):
    """`body_mass` and `body_inertia` of the robot's bodies times 1 + strength."""

    fields = ("body_mass", "body_inertia")

    def rows(self, model: Any) -> Any:
        return robot_bodies(model)


class Friction(_Scaled):
    """`geom_friction` (sliding, torsional, rolling) of everything times 1 - strength."""

    fields, sign, at_most = ("geom_friction",), -1.0, 1


class Gear(_Scaled):
    """`actuator_gear` times 1 - strength: weaker motors, and a smaller range of servos."""

    fields, sign, at_most = ("actuator_gear",), -1.0, 1


class Damping(_Scaled):
    """`dof_damping` of all joints times 1 + strength."""

    fields = ("dof_damping",)
