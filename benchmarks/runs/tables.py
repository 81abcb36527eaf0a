"""Read an `episodes.csv` as an Arrow table.

Intact files are parsed by Arrow at once; others are parsed line by line to find the damaged lines,
which a killed writer or a full disk leaves.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.runs.reading import read_bytes
from benchmarks.runs.records import (
    COLUMNS,
    DTYPES,
    LARGEST_INT,
    MAX_FILE,
    SPLITS,
    check_header,
    read_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa

_HEADER = ",".join(COLUMNS).encode()


class Table(NamedTuple):
    """Valid records as a table of `schema`, and the faults of other lines (1 is the header)."""

    records: pa.Table
    damage: dict[int, str]


@functools.cache
def schema() -> pa.Schema:
    """The columns of `benchmarks.runs.records`.

    Strings are dictionary-encoded, since a run repeats the same few.
    """
    import pyarrow as pa

    types = {
        "str": pa.dictionary(pa.int32(), pa.string()),
        "int64": pa.int64(),
        "float64": pa.float64(),
    }
    return pa.schema([(name, types[kind]) for name, kind in DTYPES.items()])


def read_table(file: str | os.PathLike[str]) -> Table:
    """Read the records of a file.

    Raises FileNotFoundError, BadInput if the header is missing or wrong, DamagedFile for a file
    that cannot be read at all.
    """
    file = Path(file)
    import pyarrow as pa

    header, _, body = read_bytes(file, MAX_FILE).partition(b"\n")
    if header.rstrip(b"\r") != _HEADER:
        check_header(file)  # raises, unless it is the same header quoted differently
    if not body:
        return Table(schema().empty_table(), {})
    if body.endswith(b"\n") and (table := _whole(body)) is not None:
        return Table(table, {})
    rows, damage = read_rows(file)
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    named = dict(zip(COLUMNS, map(list, columns), strict=True))
    return Table(pa.table(named, schema=schema()), damage)


def _whole(body: bytes) -> pa.Table | None:
    """Parse a file without damage; None for all others."""
    import pyarrow as pa
    from pyarrow import compute as pc
    from pyarrow import csv as arrow_csv

    read, lines, values = _options()
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body), read_options=read, parse_options=lines, convert_options=values
        )
    except pa.ArrowInvalid:
        return None
    known = set(table["split"].combine_chunks().dictionary.to_pylist()) <= set(SPLITS)
    bounds = pc.min_max  # pyright: ignore[reportAttributeAccessIssue]
    numbers = [name for name, kind in DTYPES.items() if kind == "int64" and len(table)]
    ranges = [bounds(table[name]).as_py() for name in numbers]
    fits = all(column["min"] >= 0 and column["max"] <= LARGEST_INT for column in ranges)
    return table if known and fits and b"\0" not in body else None


@functools.cache
def _options() -> tuple[Any, Any, Any]:
    from pyarrow import csv as arrow_csv

    return (
        arrow_csv.ReadOptions(column_names=list(COLUMNS), use_threads=False),
        arrow_csv.ParseOptions(ignore_empty_lines=False),
        arrow_csv.ConvertOptions(column_types=schema(), null_values=[], strings_can_be_null=False),
    )
