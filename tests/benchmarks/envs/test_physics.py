"""The check against rollouts recorded on the release's own stack can fail; that the simulator
passes it: tests/benchmarks/fidelity/test_fidelity.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fidelity.env_rollouts import check_task, nudged_angles, replay


@pytest.fixture(scope="module")
def arrays(recordings):
    with np.load(recordings / "env_rollouts.npz") as stored:
        return {key: stored[key] for key in stored.files}


def test_every_task_is_recorded(arrays):
    assert len({key.split("/")[0] for key in arrays}) == 28


@pytest.mark.parametrize(
    ("task", "field", "index", "change"),
    [
        ("SafetyPointGoal1-v0", "observation", (0, 20), 1e-6),
        ("SafetyPointGoal1-v0", "reward", 2, 0.02),
        ("SafetyCarGoal1-v0", "cost", 14, 1.0),
        ("SafetyHopperVelocity-v1", "observation", (20, 3), 1e-3),
        ("SafetyHopperVelocity-v1", "reward", 20, 1e-3),
    ],
)
def test_a_changed_recording_is_off(arrays, task, field, index, change):
    changed = arrays[f"{task}/{field}"].copy()
    changed[index] += change
    rows = check_task(task, {**arrays, f"{task}/{field}": changed})
    assert any(not row.ok for row in rows)


def test_another_seed_is_off(arrays):
    rows = check_task("SafetyPointGoal1-v0", {**arrays, "SafetyPointGoal1-v0/seed": np.array(1)})
    assert not rows[0].ok


def test_a_rollout_that_ends_earlier_is_off(arrays):
    task = "SafetyHopperVelocity-v1"
    shorter = {
        f"{task}/{field}": arrays[f"{task}/{field}"][:-1]
        for field in ("observation", "reward", "cost", "done")
    }
    assert any(
        not row.ok and "shape" in row.note for row in check_task(task, {**arrays, **shorter})
    )


@pytest.mark.slow
def test_recorded_at_another_rounding_of_the_starting_angle(arrays):
    """A Car's accelerometer at reset depends on the last digit of its angle.

    The check also tries the neighbouring angles and reports it.
    """
    task = "SafetyCarGoal1-v0"
    actions = arrays[f"{task}/action"]
    readings = set()
    for nudge in [(0, 0), (-1, 0), (0, -1), (1, 0), (0, 1), (-1, 1), (1, -1)]:
        with nudged_angles(*nudge):
            rollout = replay(task, actions, 0)
        readings.add(round(float(rollout.observation[0, 2]), 3))
        recorded = {f"{task}/{field}": getattr(rollout, field) for field in rollout._fields}
        rows = check_task(task, {**recorded, f"{task}/action": actions})
        assert all(row.ok for row in rows), nudge
    assert len(readings) > 1
