"""Evaluations of a run from its episodes.csv, without pandas: fast for many runs."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.records import EVAL, read_whole_rows


class Reached(NamedTuple):
    """An evaluation: means over its episodes, after `env_steps` of training."""

    env_steps: int
    return_: float
    cost: float


def evaluations(folder: str | os.PathLike[str]) -> list[Reached]:
    """Return all evaluations of a run, by steps; none without records.

    An incomplete last row is skipped.

    Raises BadInput for a file with other contents, DamagedFile, with the line, for damaged rows.
    """
    folder = Path(folder)
    episodes: dict[int, list[tuple[float, float]]] = {}
    file = folder / RECORDS_FILE
    if not file.exists() or (file.is_file() and not file.stat().st_size):
        return []
    for row in read_whole_rows(file):
        if row.split == EVAL:
            episodes.setdefault(row.env_steps, []).append((row.return_, row.cost))
    return [
        Reached(steps, statistics.fmean(r for r, _ in found), statistics.fmean(c for _, c in found))
        for steps, found in sorted(episodes.items())
    ]


def reached(found: list[Reached], limit: int | None) -> Reached | None:
    """The last of them at or before `limit` steps (None: the last of all)."""
    return next((at for at in reversed(found) if limit is None or at.env_steps <= limit), None)
