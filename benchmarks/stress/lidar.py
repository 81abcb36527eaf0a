"""Perturbed lidar: a blind sector, ghost hazards, or missing hazards.

docs/concepts/stress/sensors.md

Safety-Gymnasium's lidar has one array of B bins per kind of object; bin b covers the angles
[b, b + 1) * 360° / B to the left of the robot's front.
"""

from __future__ import annotations

import numpy as np

from benchmarks.envs.observations import LIDAR
from benchmarks.stress.wrapped import Perturbed


def front_bins(count: int, bins: int) -> np.ndarray:
    """Indices of the `count` frontmost bins out of `bins`; the extra one is on the left if odd."""
    return np.sort((np.arange(count) - count // 2) % bins)


class Blind(Perturbed):
    """A sector around the front reads 0 in every lidar; strength: its share of the circle."""

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen = obs["observation"].copy()
        for part, place in self.layout.items():
            if part.endswith(LIDAR):
                bins = place.stop - place.start
                count = min(bins, round(self.strength * bins))
                seen[place.start + front_bins(count, bins)] = 0.0
        return obs | {"observation": seen}


class _Hazards(Perturbed):
    """Recomputes the hazards' lidar from changed positions."""

    whole = True

    def observed(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        task = self.base.simulator.task  # type: ignore[attr-defined]
        seen, place = obs["observation"].copy(), self.layout[f"hazards{LIDAR}"]
        positions = self.positions([np.asarray(xyz)[:2] for xyz in task.hazards.pos])
        seen[place] = (
            task._obs_lidar(positions, task.hazards.group)  # private; there is no public function
            if positions
            else 0.0
        )
        return obs | {"observation": seen}

    def positions(self, true: list[np.ndarray]) -> list[np.ndarray]:
        """World positions [2] of the hazards that the lidar shows."""
        raise NotImplementedError


class Ghosts(_Hazards):
    """`strength` ghost hazards, at positions in the arena drawn for the episode."""

    def begin(self) -> None:
        task = self.base.simulator.task  # type: ignore[attr-defined]
        low_x, low_y, high_x, high_y = task.placements_conf.extents
        unit = self.rng.random((int(self.strength), 2))
        self._ghosts = list(np.array([low_x, low_y]) + unit * [high_x - low_x, high_y - low_y])

    def positions(self, true: list[np.ndarray]) -> list[np.ndarray]:
        return [*true, *self._ghosts]


class Missing(_Hazards):
    """Hides `strength` hazards, drawn for the episode, from the lidar; all if there are fewer."""

    def begin(self) -> None:
        task = self.base.simulator.task  # type: ignore[attr-defined]
        order = self.rng.permutation(task.hazards.num)
        self._unseen = set(order[: int(self.strength)].tolist())

    def positions(self, true: list[np.ndarray]) -> list[np.ndarray]:
        return [xy for i, xy in enumerate(true) if i not in self._unseen]
