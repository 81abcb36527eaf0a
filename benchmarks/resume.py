"""What the loop is in the middle of, as arrays: running episodes, their sums so far, metrics not yet written.

With the learner's state, the policy's carry and the replay buffer this makes a resumed run the run that never stopped: environments
return to where they were by starting their episodes again and repeating the actions, everything random derives from the run's seed
and counters, and nothing here holds a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.envs import Step, VectorEnv
from benchmarks.evaluate import Tally
from benchmarks.metrics import Window


class Restored(NamedTuple):
    """The row that the loop acts on next, and environments whose row is not what it was when it was saved."""

    step: Step
    different: tuple[int, ...]


def snapshot(envs: VectorEnv, step: Step, tally: Tally, window: Window) -> dict[str, np.ndarray]:
    """All of it in one flat dict, for a checkpoint."""
    parts = {"envs": envs.snapshot(), "tally": tally.snapshot(), "window": window.snapshot(), "row": _row(step)}
    return {f"{part}:{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def restore(arrays: Mapping[str, np.ndarray], envs: VectorEnv, tally: Tally, window: Window) -> Restored:
    """Lead environments, sums and metrics to where a snapshot was taken."""
    parts: dict[str, dict[str, np.ndarray]] = {"envs": {}, "tally": {}, "window": {}, "row": {}}
    for key, array in arrays.items():
        part, name = key.split(":", 1)
        parts[part][name] = array
    tally.restore(parts["tally"])
    window.restore(parts["window"])
    step = envs.restore(parts["envs"])
    now = _row(step)
    different = [
        index
        for index in range(envs.num_envs)
        if any(not np.array_equal(now[name][index], saved[index]) for name, saved in parts["row"].items())
    ]
    return Restored(step, tuple(different))


def _row(step: Step) -> dict[str, np.ndarray]:
    rest = {name: value for name, value in step._asdict().items() if name != "obs"}
    return rest | {f"obs/{name}": value for name, value in step.obs.items()}
