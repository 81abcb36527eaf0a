"""`safedreamer export`: the records of a sweep as one Parquet file."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli.common import parse
from benchmarks.cli.selection import DAMAGED, Selection
from benchmarks.runs.places import check_file
from benchmarks.runs.plain_text import printable


@dataclasses.dataclass(frozen=True)
class ExportArgs(Selection):
    """The records of a sweep as one Parquet file."""

    out: Path | None = None
    """Parquet file; records.parquet in the results folder if not given."""


def main(args: Sequence[str]) -> int:
    """Write the file and print a summary; returns 0, or DAMAGED if anything was left out."""
    chosen = parse(ExportArgs, args, "safedreamer export")
    from benchmarks.sweep.export import export

    found, status = chosen.readable()
    out = chosen.out or chosen.folder / "records.parquet"
    check_file(out)
    rows, empty, damage = export(found, out)
    for member in empty:
        print(printable(f"no records yet ({member.shown}): {member.folder.name}"))
    for line in damage:
        print(printable(f"damaged, left out: {line}"), file=sys.stderr)
    print(printable(f"wrote {out}: {rows:,} episodes of {len(found) - len(empty)} runs"))
    return DAMAGED if damage else status
