"""Reads one `episodes.csv`, line by line where it must.

Damaged lines, which a killed writer or a full disk leaves, are reported one by one.

Whole files go through Arrow at once; only a file that Arrow refuses is searched for the lines at
fault.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.results.frames import Damage
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import read_bytes
from benchmarks.runs.records import (
    COLUMNS,
    CUT_OFF,
    DTYPES,
    LARGEST_INT,
    MAX_FILE,
    SPLITS,
    check_header,
    parse_row,
)

if TYPE_CHECKING:
    import pyarrow as pa

_HEADER = ",".join(COLUMNS).encode()


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


def parse_records(file: str | os.PathLike[str]) -> tuple[pa.Table, list[Damage]]:
    """The good records of a file as a table of `schema`, and its damaged lines.

    Raises ValueError when the header is not that of the records, or is missing.
    """
    file = Path(file)
    import pyarrow as pa

    data = read_bytes(file, MAX_FILE)
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
    whole = (
        [pc.min_max(table[name]).as_py() for name, kind in DTYPES.items() if kind == "int64"]
        if len(table)
        else []
    )
    fits = all(column["min"] >= 0 and column["max"] <= LARGEST_INT for column in whole)
    return table if known and fits and b"\0" not in body else None


@functools.cache
def _options() -> tuple[Any, Any, Any]:
    from pyarrow import csv as arrow_csv

    return (
        arrow_csv.ReadOptions(column_names=list(COLUMNS), use_threads=False),
        arrow_csv.ParseOptions(ignore_empty_lines=False),
        arrow_csv.ConvertOptions(column_types=schema(), null_values=[], strings_can_be_null=False),
    )


def _by_lines(body: bytes, name: str) -> tuple[pd.DataFrame, list[Damage]]:
    lines = body.split(b"\n")
    good, damage = [], []
    for number, line in enumerate(lines, start=2):
        last = number == len(lines) + 1
        if last and not line:
            continue  # what follows the newline that ends a whole file
        try:
            if last:
                raise ValueError(CUT_OFF)
            good.append(parse_row(line.decode("utf-8")))
        except ValueError as error:
            damage.append(Damage(name, number, one_line(str(error))))
    frame = pd.DataFrame([list(row) for row in good], columns=list(COLUMNS))
    return frame.astype(dict(DTYPES)), damage
