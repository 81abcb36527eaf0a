"""Checks the suite's simulator against rollouts of Safety-Gymnasium recorded on its own pinned
stack (`env_rollouts.npz`).

A recording holds, per task id, `observation` [T+1, D], `action` [T, A] in the simulator's own
units, `reward`, `cost` and `done` [T], and optionally `seed` (0 if absent). Contacts amplify
rounding differences between versions of NumPy and of the C library, so navigation tasks are
compared only over the steps that can agree; velocity tasks over the whole rollout.

Cars start with their wheels exactly on the floor, where the last digit of the sine of the starting
angle decides which wheels touch it, and thus the accelerometer's reading (0 to 9.8). That digit
differs between NumPy builds. If the reset observation disagrees, it is compared again with sine and
cosine of all starting angles shifted by one unit in the last place.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.envs.compat import import_safety_gymnasium
from benchmarks.envs.make import make_simulator
from benchmarks.fidelity.arrays import load_arrays
from benchmarks.fidelity.report import Row, compare
from benchmarks.tasks import get_task

RESET_TOLERANCE = 1e-9  # absolute
VELOCITY_TOLERANCE = 1e-6  # relative; measured at most 1e-7
# of navigation tasks: quantity, compared steps, absolute tolerance
NAVIGATION = (("reward", 3, 1e-2), ("cost", 15, 0.0), ("done", 15, 0.0))
# shifts of cosine and sine, in units in the last place
NUDGES = [nudge for nudge in itertools.product((-1, 0, 1), repeat=2) if nudge != (0, 0)]


class Rollout(NamedTuple):
    """Observations [T+1, D]; reward, cost, done [T]."""

    observation: np.ndarray
    reward: np.ndarray
    cost: np.ndarray
    done: np.ndarray


def check(path: Path) -> list[Row]:
    """Replay every task of a recording and compare."""
    arrays = load_arrays(path)
    task_ids = dict.fromkeys(key.split("/")[0] for key in arrays)
    return [row for task_id in task_ids for row in check_task(task_id, arrays)]


def check_task(task_id: str, arrays: Mapping[str, np.ndarray]) -> list[Row]:
    recorded = Rollout(*(arrays[f"{task_id}/{field}"] for field in Rollout._fields))
    actions, seed = arrays[f"{task_id}/action"], int(arrays.get(f"{task_id}/seed", 0))
    ours = replay(task_id, actions, seed)
    reset = _compare_reset(task_id, ours, recorded)
    if get_task(task_id).name == "Velocity":
        pairs = zip(Rollout._fields, ours, recorded, strict=True)
        return [reset, *(compare(f"{task_id} {n}", a, b, VELOCITY_TOLERANCE) for n, a, b in pairs)]
    if not reset.ok:
        reset, ours = _nearest_rounding(task_id, actions, seed, recorded, reset, ours)
    rows = [reset]
    for name, steps, tolerance in NAVIGATION:
        a, b = (getattr(rollout, name)[:steps] for rollout in (ours, recorded))
        rows.append(_absolute(f"{task_id} {name}", a, b, tolerance))
    return rows


def replay(task_id: str, actions: np.ndarray, seed: int) -> Rollout:
    """Run the given actions [T, A] up to the end of the episode."""
    simulator = make_simulator(get_task(task_id), "default", None)
    simulator.reset(seed)
    observations, steps = [simulator.observe()["observation"]], []
    for action in actions:
        steps.append(simulator.step(np.asarray(action, np.float64), observe=True))
        observations.append(simulator.observe()["observation"])
        if steps[-1].terminated or steps[-1].truncated:
            break
    simulator.close()
    return Rollout(
        np.stack(observations),
        np.array([step.reward for step in steps]),
        np.array([step.cost for step in steps]),
        np.array([step.terminated or step.truncated for step in steps]),
    )


@contextlib.contextmanager
def nudged_angles(cosine: int, sine: int) -> Iterator[None]:
    """Shift cosine and sine of starting angles by the given units in the last place (-1, 0, 1)."""
    world = import_safety_gymnasium().world
    original = world.rot2quat

    def rot2quat(theta: float) -> np.ndarray:
        quaternion = original(theta)
        for index, units in ((0, cosine), (3, sine)):
            if units:
                quaternion[index] = np.nextafter(quaternion[index], units * np.inf)
        return quaternion

    world.rot2quat = rot2quat
    try:
        yield
    finally:
        world.rot2quat = original


def _nearest_rounding(
    task_id: str, actions: np.ndarray, seed: int, recorded: Rollout, reset: Row, ours: Rollout
) -> tuple[Row, Rollout]:
    """Reset row and rollout of the first nudge that agrees with the recording; the given ones if
    none does.
    """
    for nudge in NUDGES:
        with nudged_angles(*nudge):
            nudged = replay(task_id, actions, seed)
        row = _compare_reset(task_id, nudged, recorded)
        if row.ok:
            return row._replace(
                note=f"{row.note}; starting angle nudged by {nudge} in the last place"
            ), nudged
    return reset, ours


def _compare_reset(task_id: str, ours: Rollout, recorded: Rollout) -> Row:
    first = ours.observation[0], recorded.observation[0]
    return _absolute(f"{task_id} reset observation", *first, RESET_TOLERANCE)


def _absolute(quantity: str, ours: np.ndarray, recorded: np.ndarray, tolerance: float) -> Row:
    row = compare(quantity, ours, recorded)
    if not np.isfinite(row.abs_error):
        return row
    return row._replace(ok=row.abs_error <= tolerance, note=f"absolute, at most {tolerance:g}")
