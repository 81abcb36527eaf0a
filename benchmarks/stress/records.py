"""The records of a stress test: those of episodes, with `perturbation` and `strength` behind.

One file per results folder. It is written as a whole after every cell, so that a cell is there with
all its episodes or not at all, and the same command goes on with the first that is missing.
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
    """What tells the cells of a results folder apart."""

    run_id: str
    method: str  # with changed settings in brackets
    task: str
    perturbation: str
    strength: float


class Row(NamedTuple):
    """One episode. Its record's `seed` is that of the layouts, the same for all runs."""

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
    """The rows of a file, none where there is no file.

    Raises DamagedFile, with the line, where it is none of a stress test.
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
    """Replace the file by these rows, at once."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(STRESS_COLUMNS)
    for row in rows:
        writer.writerow([*row.record, row.perturbation, plain(row.strength)])
    replace(Path(file), text.getvalue())


def replace(file: Path, text: str) -> None:
    """Write the file so that a reader sees all of the old text or all of the new."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
