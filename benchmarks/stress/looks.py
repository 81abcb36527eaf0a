"""Changed appearance of the scene: a tilted camera, colours of floor, sky and objects.

docs/concepts/stress/images.md

Unlike the perturbations in `images`, these change what the simulator renders. Colours are set after
every reset in the model's `geom_rgba`; physics, lidar and costs do not depend on them.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from benchmarks.envs.simulators.navigation import Navigation
from benchmarks.stress.dynamics import robot_bodies
from benchmarks.stress.wrapped import Perturbed, images

FLOOR = "floor"  # name of the floor's geom


class _Scene(Perturbed):
    """Changes the appearance of a Safety-Gymnasium navigation task."""

    def __init__(self, env: Any, strength: float) -> None:
        super().__init__(env, strength)
        if not isinstance(self.base.simulator, Navigation):
            raise ValueError(
                f"{type(self).__name__}: only Safety-Gymnasium's navigation tasks render pictures"
            )
        self.scene = self.base.simulator


class CameraTilt(_Scene):
    """Tilts both cameras down by `strength` degrees."""

    def __init__(self, env: Any, strength: float) -> None:
        super().__init__(env, strength)
        self.scene.camera_tilt = strength


class Sky(_Scene):
    """Mixes white into the sky's texture; strength: its share."""

    at_most = 1

    def __init__(self, env: Any, strength: float) -> None:
        super().__init__(env, strength)
        self.scene.sky_white = strength


class _Colours(_Scene):
    """Mixes a colour into geoms: rgb' = (1 - s) rgb + s u, with u uniform in 0..1 per channel,
    drawn for the episode; opacity is unchanged.
    """

    at_most = 1

    def begin(self) -> None:
        model, share = self.scene.physics[0], self.strength
        for geoms in self.groups(model):
            old = model.geom_rgba[geoms, :3]
            model.geom_rgba[geoms, :3] = (1.0 - share) * old + share * self.rng.random(3)
        self._first = True

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._first:  # the reset rendered it before the colours were changed
            self._first = False
            obs = obs | images(self.scene.observe())
        return obs

    def groups(self, model: Any) -> list[list[int]]:
        """Groups of geom ids that share a colour."""
        raise NotImplementedError


class Floor(_Colours):
    """Changes the colour that multiplies the floor's texture."""

    def groups(self, model: Any) -> list[list[int]]:
        return [[model.geom(FLOOR).id]]


class Objects(_Colours):
    """Changes the colour of each kind of object (goal, hazards, vases, ...), but not the robot."""

    def groups(self, model: Any) -> list[list[int]]:
        robot = set(robot_bodies(model).tolist())
        kinds: dict[str, list[int]] = {}
        for geom in range(model.ngeom):
            body = int(model.geom_bodyid[geom])
            if body not in robot and model.geom(geom).name != FLOOR:
                kind = re.split(r"\d", model.body(body).name)[0]
                kinds.setdefault(kind, []).append(geom)
        return [kinds[kind] for kind in sorted(kinds)]
