"""Selection of runs for commands on sweeps: a results folder and filters."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import tyro

from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import printable

if TYPE_CHECKING:
    from benchmarks.sweep.members import Member


DAMAGED = 1  # exit status of a command that left a run out because its files are damaged


@dataclasses.dataclass(frozen=True)
class Selection:
    """Arguments that select runs."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Results folder of a sweep, or a run folder."""
    filters: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """FIELD=PATTERN, !FIELD=PATTERN or a run id: method=osrp* task=*Goal* !seed=0 state=failed
    tag=paper.
    """

    def readable(self, out: TextIO | None = None) -> tuple[list[Member], int]:
        """Return the runs whose files can be read, and DAMAGED if others were left out, else 0.

        Each run left out is reported in a line on `out` (None: stderr). Raises BadInput if no run
        is left; for a single damaged run, its DamagedFile.
        """
        from benchmarks.sweep.filters import select
        from benchmarks.sweep.members import look

        found = look(self.folder)
        if not found.members:
            first, count = next(iter(found.damaged.values())), len(found.damaged)
            if count > 1:
                raise BadInput(f"the files of all {count} runs are damaged; the first: {first}")
            raise first
        for folder, error in found.damaged.items():
            print(printable(f"damaged, left out: {folder.name}: {error}"), file=out or sys.stderr)
        return select(found.members, self.filters), DAMAGED if found.damaged else 0
