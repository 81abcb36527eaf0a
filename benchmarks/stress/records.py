"""Records of a stress test: episode records with the additional columns `perturbation` and
`strength`.

One file per results folder. It is rewritten as a whole after every cell, so that a cell is stored
with all its episodes or not at all, and the same command continues with the first missing cell.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.runs import records
from benchmarks.runs.reading import DamagedFile, read_text
from benchmarks.runs.records import STRESS_COLUMNS, EpisodeRecord
from benchmarks.stress.perturbation import plain


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
    file = Path(file)
    try:
        lines = read_text(file, records.MAX_FILE).splitlines()
    except FileNotFoundError:
        return []
    if not lines or lines[0] != ",".join(STRESS_COLUMNS):
        raise DamagedFile(
            file, 1, f"no records of a stress test: expected {','.join(STRESS_COLUMNS)}"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            record, perturbation, strength = line.rsplit(",", 2)
            rows.append(Row(records.parse_row(record), perturbation, float(strength)))
        except ValueError as error:
            raise DamagedFile(file, number, str(error)) from error
    return rows


def write(file: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Atomically replace the file with these rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(STRESS_COLUMNS)
    for row in rows:
        writer.writerow([*row.record, row.perturbation, plain(row.strength)])
    replace(Path(file), text.getvalue())


def replace(file: Path, text: str) -> None:
    """Write the file atomically."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
