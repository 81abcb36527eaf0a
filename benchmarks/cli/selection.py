"""The runs that a command about a sweep is told to deal with: a results folder and filters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from benchmarks.sweep.members import Member


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which runs."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Results folder of a sweep, or a run folder."""
    filters: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """FIELD=PATTERN, !FIELD=PATTERN or a run id: method=osrp* task=*Goal* !seed=0 state=failed
    tag=paper.
    """

    def members(self) -> list[Member]:
        """The runs, in order of their names. Raises BadInput when there are none."""
        from benchmarks.sweep.filters import select
        from benchmarks.sweep.members import members

        return select(members(self.folder), self.filters)
