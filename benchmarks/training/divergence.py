"""Detects NaNs and infinities in the iteration in which they appear, and saves data to debug them.

Agents count non-finite numbers inside their jitted update (`agents.checks`), so detection costs one
number per update, fetched when the loop waits for the learner anyway. No checkpoint is saved
afterwards: the newest one precedes the divergence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.runs.errors import RunFailed

NONFINITE = "nonfinite"  # the metric of agents.api.Agent.update
FOLDER = "diverged"
LARGE = 1e15  # magnitude of environment outputs whose squares in losses approach float32's maximum


class Diverged(RunFailed):
    """The learner's losses or gradients, or the policy's actions, are not finite."""


def origins(names: Sequence[str]) -> str:
    """The non-finite metrics from which the others follow.

    Terms of a loss if any, else whole losses, else all of them.
    """
    for ending in ("_loss", "/loss", ""):
        first = sorted(name for name in names if name.endswith(ending))
        if first:
            break
    rest = len(names) - len(first)
    return ", ".join(first) + (f" (and {rest} more that follow)" if rest else "")


class Watch:
    """Keeps dispatched updates until their results are checked. `out` is the run folder."""

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER
        self._pending: list[tuple[int, Mapping[str, Any], Mapping[str, Any]]] = []

    def updated(
        self, update: int, batch: Mapping[str, Any], values: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Record an update; returns its metrics without the non-finite count."""
        if NONFINITE in values:
            self._pending.append((update, batch, values))
        return {name: value for name, value in values.items() if name != NONFINITE}

    def check(self, env_steps: int) -> None:
        """Wait for the recorded updates and check them.

        Raises Diverged if one met a non-finite number, after saving the batch and metrics of the
        first.
        """
        for update, batch, values in self._pending:
            if int(values[NONFINITE]):
                fetched, arrays = jax.device_get((dict(values), dict(batch)))
                metrics = {name: float(np.mean(value)) for name, value in fetched.items()}
                wrong = [name for name, value in metrics.items() if not np.isfinite(value)]
                self._raise(f"update {update}", env_steps, origins(wrong), arrays, metrics)
        self._pending.clear()

    def check_actions(
        self, actions: np.ndarray, obs: Mapping[str, np.ndarray], env_steps: int
    ) -> None:
        """Raise Diverged if an action [E, A] is not finite.

        Saves the observations [E, ...] and actions first.
        """
        if not np.isfinite(actions).all():
            self._raise("acting", env_steps, "the policy's actions", {**obs, "action": actions}, {})

    def _raise(
        self,
        when: str,
        env_steps: int,
        what: str,
        arrays: Mapping[str, np.ndarray],
        metrics: Mapping[str, float],
    ) -> None:
        advice = "lower the learning rate, or train with another seed"
        largest = {
            name: float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
            for name, array in arrays.items()
            if array.dtype.kind == "f"
        }
        if large := [f"{name} reaches {x:.2g}" for name, x in largest.items() if x > LARGE]:
            advice = (
                "the environment sent numbers whose squares float32 can hardly hold: "
                f"{', '.join(large)}; scale them"
            )
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{when.replace(' ', '-')}.npz"
        np.savez(path, allow_pickle=False, **arrays)
        facts = {
            "when": when,
            "env_steps": env_steps,
            "not_finite": what,
            "metrics": {k: repr(v) for k, v in metrics.items()},
        }
        path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        raise Diverged(
            f"diverged at {env_steps:,} simulator steps ({when}): not finite: {what}. The "
            f"batch is in {path}, the newest checkpoint is from before. The same command would "
            f"meet it again: {advice}"
        )
