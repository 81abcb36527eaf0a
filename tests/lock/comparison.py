"""Compare the files that two trainings wrote.

Bit for bit, or the first update's losses and gradient norms within a tolerance.

Bit for bit is for moves and renames. Rounding alone makes two trainings diverge after a few
updates, so speed-ups are compared at the first one, before the parameters differ. Planning during
action selection is covered by the bit-for-bit comparison only.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

RELATIVE, ABSOLUTE = 1e-4, 1e-6  # the second for losses that are differences of larger numbers
CLOCKS = ("wall_seconds", "env_steps_per_second")
TIMES = "time/"
COMPARED = ("loss", "grad_norm")  # endings of the last part of a metric's name

Row = Mapping[str, Any]


def metric_rows(folder: Path) -> list[Row]:
    """Rows of a run's metrics without its clocks."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [_without_clocks(json.loads(line)) for line in lines]


def episode_rows(folder: Path) -> list[Row]:
    """Rows of a run's records, as text, without its clocks."""
    with (folder / "episodes.csv").open(newline="", encoding="utf-8") as file:
        return [_without_clocks(row) for row in csv.DictReader(file)]


def _without_clocks(row: Row) -> Row:
    return {
        name: value
        for name, value in row.items()
        if name not in CLOCKS and not name.startswith(TIMES)
    }


def exact(before: Path, after: Path) -> list[str]:
    """Differences between two run folders in anything but time, one line each.

    Empty if there are none.
    """
    pairs = {"metrics.jsonl": metric_rows, "episodes.csv": episode_rows}
    return [
        f"{name}: {line}"
        for name, read in pairs.items()
        for line in _row_differences(read(before), read(after))
    ]


def _row_differences(before: Sequence[Row], after: Sequence[Row]) -> Iterator[str]:
    if not before:
        yield "no rows"
    if len(before) != len(after):
        yield f"{len(before)} rows before, {len(after)} after"
    for number, (old, new) in enumerate(zip(before, after), start=1):
        for name in sorted(old.keys() | new.keys()):
            if (name in old, old.get(name)) != (name in new, new.get(name)):
                yield (
                    f"row {number}: {name} was {old.get(name, 'absent')}, is "
                    f"{new.get(name, 'absent')}"
                )


def first_update(before: Path, after: Path) -> list[str]:
    """Losses and gradient norms of the first update that differ by more than rounding between two
    run folders, or are missing.
    """
    old, new = _first_losses(metric_rows(before)), _first_losses(metric_rows(after))
    if not old or not new:
        return [f"no losses {when}" for when, row in (("before", old), ("after", new)) if not row]
    return [
        f"{name} was {value}, is {new.get(name, 'absent')}"
        for name, value in old.items()
        if not _near(value, new.get(name))
    ]


def _first_losses(rows: Sequence[Row]) -> Row:
    for row in rows:
        losses = {
            name: value for name, value in row.items() if name.rsplit("/", 1)[-1].endswith(COMPARED)
        }
        if losses:
            return {"updates": row["updates"], **losses}
    return {}


def _near(before: Any, after: Any) -> bool:
    """Whether two numbers are close; non-finite ones are None and close to nothing."""
    return None not in (before, after) and abs(before - after) <= ABSOLUTE + RELATIVE * abs(before)
