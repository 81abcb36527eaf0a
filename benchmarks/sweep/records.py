"""Evaluations of a run from its episodes.csv, without pandas: fast for many runs."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.records import EVAL


class Reached(NamedTuple):
    """An evaluation: means over its episodes, at so many simulator steps of training."""

    env_steps: int
    return_: float
    cost: float


def evaluations(folder: Path) -> list[Reached]:
    """All evaluations of a run, by steps; none where there are no records."""
    episodes: dict[int, list[tuple[float, float]]] = {}
    try:
        with (folder / RECORDS_FILE).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["split"] == EVAL:
                    episodes.setdefault(int(row["env_steps"]), []).append(
                        (float(row["return"]), float(row["cost"]))
                    )
    except FileNotFoundError:
        return []
    return [
        Reached(steps, statistics.fmean(r for r, _ in found), statistics.fmean(c for _, c in found))
        for steps, found in sorted(episodes.items())
    ]


def reached(found: list[Reached], limit: int | None) -> Reached | None:
    """The last of them at or before `limit` steps (None: the last of all)."""
    return next((at for at in reversed(found) if limit is None or at.env_steps <= limit), None)
