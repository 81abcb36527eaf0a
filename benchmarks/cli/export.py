"""`safedreamer export`: the records of a sweep as one Parquet file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli.common import parse
from benchmarks.cli.selection import Selection


@dataclasses.dataclass(frozen=True)
class ExportArgs(Selection):
    """Which runs, and where to."""

    out: Path | None = None
    """Parquet file; records.parquet in the results folder if not given."""


def main(args: Sequence[str]) -> int:
    """Write the file and say what is in it; returns 0."""
    chosen = parse(
        ExportArgs, args, "safedreamer export", "The records of a sweep as one Parquet file."
    )
    from benchmarks.sweep.export import export

    found = chosen.members()
    out = chosen.out or chosen.folder / "records.parquet"
    rows, empty = export(found, out)
    for member in empty:
        print(f"no records yet ({member.standing}): {member.folder.name}")
    print(f"wrote {out}: {rows:,} episodes of {len(found) - len(empty)} runs")
    return 0
