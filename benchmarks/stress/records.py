"""Records of a stress test: episode records with the additional columns `perturbation` and
`strength`.

One file per results folder. It is rewritten as a whole after every cell, so that a cell is stored
with all its episodes or not at all, and the same command continues with the first missing cell.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from benchmarks.runs import records
from benchmarks.runs.reading import DamagedFile, read_text
from benchmarks.runs.records import STRESS_COLUMNS, EpisodeRecord
from benchmarks.runs.writing import replace_text
from benchmarks.stress.perturbation import plain

T = TypeVar("T")


class Key(NamedTuple):
    """Key of a cell within a results folder."""

    run_id: str
    method: str  # with changed settings in brackets
    task: str
    perturbation: str
    strength: float


class Row(NamedTuple):
    """One episode. The `seed` of its record is that of the layouts, the same for all runs."""

    record: EpisodeRecord
    perturbation: str
    strength: float

    @property
    def key(self) -> Key:
        return Key(
            self.record.run_id,
            self.record.method,
            self.record.task,
            self.perturbation,
            self.strength,
        )


def read(file: str | os.PathLike[str]) -> list[Row]:
    """Read the rows of a file; empty if there is no file.

    Raises DamagedFile, with the line, if it is not a stress-test file.
    """
    return read_lines(Path(file), "records", STRESS_COLUMNS, _row)


def _row(line: str) -> Row:
    record, perturbation, strength = line.rsplit(",", 2)
    return Row(records.parse_row(record), perturbation, float(strength))


def write(file: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Atomically replace the file with these rows."""
    cells = ([*row.record, row.perturbation, plain(row.strength)] for row in rows)
    write_lines(Path(file), STRESS_COLUMNS, cells)


def read_lines(file: Path, what: str, columns: Sequence[str], parse: Callable[[str], T]) -> list[T]:
    """The parsed lines below the header; empty if there is no file.

    Raises DamagedFile, with the line, for another header or where `parse` raises ValueError.
    """
    try:
        header, *lines = read_text(file, records.MAX_FILE).splitlines() or [""]
    except FileNotFoundError:
        return []
    if header != ",".join(columns):
        raise DamagedFile(file, 1, f"no {what} of a stress test: expected {','.join(columns)}")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            rows.append(parse(line))
        except ValueError as error:
            raise DamagedFile(file, number, str(error)) from error
    return rows


def write_lines(file: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Atomically replace the file with a header and these rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    replace_text(file, text.getvalue())
