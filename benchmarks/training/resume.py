"""What the loop is in the middle of, as arrays.

Running episodes, their sums so far, metrics not yet written.

With the learner's state, the policy's carry and the replay buffer this makes a resumed run the run
that never stopped: environments return to where they were by starting their episodes again and
repeating the actions, everything random derives from the run's seed and counters, and nothing here
holds a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.envs import Step, VectorEnv
from benchmarks.runs import checkpoint
from benchmarks.runs.metrics import Window
from benchmarks.runs.spec import BadInput
from benchmarks.training.episodes import Tally


def newest_checkpoint(folder: Path, say: Callable[[str], None]) -> Path | None:
    """The newest whole one; damaged ones are named and set aside.

    Raises BadInput when only damaged ones are left.
    """
    found = checkpoint.find(folder)
    faults = "; ".join(f"{path}: {fault}" for path, fault in found.damaged)
    if found.damaged and found.path is None:
        raise BadInput(
            f"no checkpoint of this run is whole ({faults}): delete {folder} to start over, or "
            "choose another --out"
        )
    for path, fault in found.damaged:
        aside = checkpoint.set_aside(path)
        say(
            f"checkpoint {path.name} is damaged ({fault}); kept as {aside}, continuing from "
            f"{found.path}"
        )
    return found.path


def snapshot(envs: VectorEnv, step: Step, tally: Tally, window: Window) -> dict[str, np.ndarray]:
    """All of it in one flat dict, for a checkpoint."""
    parts = {
        "envs": envs.snapshot(),
        "tally": tally.snapshot(),
        "window": window.snapshot(),
        "row": _row(step),
    }
    return {
        f"{part}:{name}": array for part, arrays in parts.items() for name, array in arrays.items()
    }


def restore(
    arrays: Mapping[str, np.ndarray],
    envs: VectorEnv,
    tally: Tally,
    window: Window,
    say: Callable[[str], None],
) -> Step:
    """Lead environments, sums and metrics to where a snapshot was taken.

    Returns the row that the loop acts on next.

    Environments whose row is not what it was are named.
    """
    parts: dict[str, dict[str, np.ndarray]] = {"envs": {}, "tally": {}, "window": {}, "row": {}}
    for key, array in arrays.items():
        part, name = key.split(":", 1)
        parts[part][name] = array
    tally.restore(parts["tally"])
    window.restore(parts["window"])
    step = envs.restore(parts["envs"])
    tally.forget(step.lost)
    now = _row(step)
    different = [
        index
        for index in range(envs.num_envs)
        if any(
            not np.array_equal(now[name][index], saved[index])
            for name, saved in parts["row"].items()
        )
    ]
    if different:
        say(
            f"environments {different} did not return to where they were: they are not "
            "determined by their seed and actions, so the run continues, but not exactly"
        )
    return step


def _row(step: Step) -> dict[str, np.ndarray]:
    rest = {name: value for name, value in step._asdict().items() if name not in ("obs", "lost")}
    return rest | {f"obs/{name}": value for name, value in step.obs.items()}
