"""Prediction errors of the acting world model on the episodes of a cell.

docs/concepts/stress/model.md#prediction-errors

Windows of the visited rows are predicted open loop by the networks that acted, degraded ones
included, as in `safedreamer diagnose`. Errors of observation and reward are relative to predicting
the mean of these windows: 1 is no better. Shapes: N windows of CONTEXT observed and HORIZON
predicted rows.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.runs.records import ERROR_COLUMNS
from benchmarks.stress.perturbation import Acting, plain
from benchmarks.stress.records import Key, read_lines, write_lines

if TYPE_CHECKING:
    import jax

    from agents.api import EnvSpec
    from benchmarks.diagnosis.findings import Finding
    from benchmarks.training.traces import EpisodeTrace

# rows observed, rows predicted, and rows between window starts; as in `safedreamer diagnose`
CONTEXT, HORIZON, STRIDE = 20, 15, 5
STEPS_AHEAD = (1, HORIZON)


class Errors(NamedTuple):
    """Errors at one number of agent steps ahead; NaN where the true values do not vary.

    `observation`: mean over cameras, or over the named parts of a flat observation, of the root
    mean square error relative to that of the mean; `reward` likewise. `cost`: root mean square
    error, cost per agent step; `cost_predicted` and `cost_true`: means.
    """

    windows: int
    steps_ahead: int
    observation: float
    reward: float
    cost: float
    cost_predicted: float
    cost_true: float


class ErrorRow(NamedTuple):
    """The errors of one cell."""

    key: Key
    errors: Errors


def measurable(it: Acting) -> bool:
    """Whether the agent has a world model whose predictions can be compared."""
    from agents.safedreamer.agent import SafeDreamer

    return isinstance(it.agent, SafeDreamer)


def windows_of(traces: Iterable[EpisodeTrace]) -> dict[str, np.ndarray]:
    """Windows [N, CONTEXT + HORIZON, ...] within the episodes; empty if all are too short."""
    from benchmarks.diagnosis.diagnose import cut_windows

    length, parts = CONTEXT + HORIZON, []
    for trace in traces:
        starts = np.arange(0, len(trace.rows["reward"]) - length + 1, STRIDE)
        if len(starts):
            rows = {name: v[None] for name, v in trace.rows.items() if name != "env_steps"}
            parts.append(cut_windows(rows, starts, length))
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]} if parts else {}


def prediction_errors(
    it: Acting, windows: dict[str, np.ndarray], key: jax.Array
) -> tuple[Errors, ...]:
    """Errors at STEPS_AHEAD on windows [N, CONTEXT + HORIZON, ...]; empty without windows."""
    from agents.safedreamer.agent import SafeDreamer
    from benchmarks.diagnosis import prediction_errors as diagnosis
    from benchmarks.diagnosis.diagnose import predict

    if not windows:
        return ()
    assert isinstance(it.agent, SafeDreamer)
    predicted = predict(it.agent, it.state, windows, CONTEXT, key)
    truth = {name: values[:, CONTEXT - 1 :] for name, values in windows.items()}
    found = list(diagnosis.prediction_errors(it.agent.env, predicted, truth))
    count = len(windows["reward"])
    return tuple(summary(it.agent.env, found, steps, count) for steps in STEPS_AHEAD)


def summary(env: EnvSpec, found: Sequence[Finding], steps: int, windows: int) -> Errors:
    """Summarise the findings at `steps` agent steps ahead."""
    from benchmarks.diagnosis.findings import MEAN, MODEL

    at = {(f.quantity, f.predictor): f.value for f in found if f.steps_ahead == steps}

    def relative(name: str) -> float:
        of_mean = at[f"{name} root mean square error", MEAN]
        return at[f"{name} root mean square error", MODEL] / of_mean if of_mean else math.nan

    parts: list[str] = []
    for name, array in env.obs.items():
        parts += list(env.layout) if len(array.shape) == 1 and env.layout else [name]
    varied = [error for error in map(relative, parts) if not math.isnan(error)]
    return Errors(
        windows,
        steps,
        float(np.mean(varied)) if varied else math.nan,
        relative("reward"),
        at["cost root mean square error", MODEL],
        at["cost predicted", MODEL],
        at["cost true", MODEL],
    )


def read(file: str | os.PathLike[str]) -> list[ErrorRow]:
    """Read the rows of a file; empty if there is no file.

    Raises DamagedFile, with the line, for invalid content.
    """
    return read_lines(Path(file), "prediction errors", ERROR_COLUMNS, _row)


def _row(line: str) -> ErrorRow:
    run_id, method, task, perturbation, strength, count, steps, *numbers = next(csv.reader([line]))
    observation, reward, cost, predicted, true = map(float, numbers)
    return ErrorRow(
        Key(run_id, method, task, perturbation, float(strength)),
        Errors(int(count), int(steps), observation, reward, cost, predicted, true),
    )


def write(file: str | os.PathLike[str], rows: Iterable[ErrorRow]) -> None:
    """Atomically replace the file with these rows."""
    cells = ([*key[:-1], plain(key.strength), *errors] for key, errors in rows)
    write_lines(Path(file), ERROR_COLUMNS, cells)
