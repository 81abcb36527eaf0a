"""Reads one `episodes.csv`, line by line where it must.

A killed writer or a full disk leaves damaged lines, which are named.

Whole files go through Arrow at once; only a file that Arrow refuses is searched for the lines at
fault.
"""

from __future__ import annotations

import csv
import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from benchmarks.runs.records import COLUMNS, DTYPES, SPLITS, check_header

if TYPE_CHECKING:
    import pyarrow as pa

_PARSERS = [{"int64": int, "float64": float}.get(dtype, str) for dtype in DTYPES.values()]
_HEADER = ",".join(COLUMNS).encode()


class Damage(NamedTuple):
    """One line that is no record; `line` counts from 1, the header."""

    file: str
    line: int
    reason: str


@functools.cache
def schema() -> pa.Schema:
    """The columns of `benchmarks.runs.records`.

    Texts are dictionaries, since a run repeats the same few.
    """
    import pyarrow as pa

    types = {
        "str": pa.dictionary(pa.int32(), pa.string()),
        "int64": pa.int64(),
        "float64": pa.float64(),
    }
    return pa.schema([(name, types[kind]) for name, kind in DTYPES.items()])


def parse_records(file: Path) -> tuple[pa.Table, list[Damage]]:
    """The good records of a file as a table of `schema`, and its damaged lines.

    Raises ValueError when the header is not that of the records, or is missing.
    """
    import pyarrow as pa

    data = file.read_bytes()
    header, _, body = data.partition(b"\n")
    if header.rstrip(b"\r") != _HEADER:
        check_header(file)  # says what is wrong, or that it is the header in other quotes
    if not body:
        return schema().empty_table(), []
    if body.endswith(b"\n"):
        table = _whole(body)
        if table is not None:
            return table, []
    frame, damage = _by_lines(body, file.name)
    return pa.Table.from_pandas(frame, schema=schema(), preserve_index=False), damage


def _whole(body: bytes) -> pa.Table | None:
    """The table of a file without damage, None for all others."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    read, lines, values = _options()
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body), read_options=read, parse_options=lines, convert_options=values
        )
    except pa.ArrowInvalid:
        return None
    known = set(table["split"].combine_chunks().dictionary.to_pylist()) <= set(SPLITS)
    return table if known else None


@functools.cache
def _options() -> tuple[Any, Any, Any]:
    from pyarrow import csv as arrow_csv

    return (
        arrow_csv.ReadOptions(column_names=list(COLUMNS), use_threads=False),
        arrow_csv.ParseOptions(ignore_empty_lines=False),
        arrow_csv.ConvertOptions(column_types=schema(), null_values=[], strings_can_be_null=False),
    )


def _by_lines(body: bytes, name: str) -> tuple[pd.DataFrame, list[Damage]]:
    lines = body.decode("utf-8", errors="replace").split("\n")
    good, damage = [], []
    for number, line in enumerate(lines, start=2):
        last = number == len(lines) + 1
        if last and not line:
            continue  # what follows the newline that ends a whole file
        reason = "cut off: no end of line" if last else _field_count(line)
        if reason:
            damage.append(Damage(name, number, reason))
        else:
            good.append((number, line))
    try:
        frame = _frame([line for _, line in good])
    except ValueError:
        wrong = {number: reason for number, line in good if (reason := _wrong_value(line))}
        damage += [Damage(name, number, reason) for number, reason in wrong.items()]
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
    frame = pd.read_csv(
        text,
        header=None,
        names=list(COLUMNS),
        dtype=dict(DTYPES),
        keep_default_na=False,
        na_values=nan,
    )
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
