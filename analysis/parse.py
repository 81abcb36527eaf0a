"""Reads one `episodes.csv` line by line where it must: a killed writer or a full disk leaves damaged lines, which are named.

Whole files go through pandas at once; only a file that pandas refuses is searched for the lines at fault.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.records import COLUMNS, DTYPES, SPLITS, check_header

_PARSERS = [{"int64": int, "float64": float}.get(dtype, str) for dtype in DTYPES.values()]


class Damage(NamedTuple):
    """One line that is no record; `line` counts from 1, the header."""

    file: str
    line: int
    reason: str


def no_records() -> pd.DataFrame:
    """No rows, with the columns and dtypes of `benchmarks.records`."""
    return pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in DTYPES.items()})


def parse_records(file: Path) -> tuple[pd.DataFrame, list[Damage]]:
    """The good records of a file, with the columns and dtypes of `benchmarks.records`, and its damaged lines.

    Raises ValueError when the header is not that of the schema, or is missing.
    """
    check_header(file)
    _, *lines = file.read_bytes().decode("utf-8", errors="replace").split("\n")
    good, damage = [], []
    for number, line in enumerate(lines, start=2):
        last = number == len(lines) + 1
        if last and not line:
            continue  # what follows the newline that ends a whole file
        reason = "cut off: no end of line" if last else _field_count(line)
        if reason:
            damage.append(Damage(file.name, number, reason))
        else:
            good.append((number, line))
    try:
        frame = _frame([line for _, line in good])
    except ValueError:
        wrong = {number: reason for number, line in good if (reason := _wrong_value(line))}
        damage += [Damage(file.name, number, reason) for number, reason in wrong.items()]
        frame = _frame([line for number, line in good if number not in wrong])
    return frame, sorted(damage, key=lambda d: d.line)


def _fields(line: str) -> list[str]:
    return next(csv.reader([line]), []) if '"' in line else line.split(",")


def _field_count(line: str) -> str:
    if line.count(",") == len(COLUMNS) - 1 and '"' not in line:
        return ""
    count = len(_fields(line)) if line.strip() else 0
    return "" if count == len(COLUMNS) else f"{count} of {len(COLUMNS)} fields"


def _frame(lines: list[str]) -> pd.DataFrame:
    """Raises ValueError when a value is not of its column's type."""
    text = io.StringIO("\n".join(lines))
    nan = {"return": ["nan"], "cost": ["nan"]}
    frame = pd.read_csv(text, header=None, names=list(COLUMNS), dtype=dict(DTYPES), keep_default_na=False, na_values=nan)
    if unknown := set(frame["split"]) - set(SPLITS):
        raise ValueError(f"unknown split {sorted(unknown)}")
    return frame


def _wrong_value(line: str) -> str:
    """Why the line is no record, "" if it is one."""
    values = _fields(line)
    for column, parse, value in zip(COLUMNS, _PARSERS, values, strict=True):
        try:
            parse(value)
        except ValueError:
            return f"{column} is {value!r}"
    split = values[COLUMNS.index("split")]
    return "" if split in SPLITS else f"split is {split!r}"
