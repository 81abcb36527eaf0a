"""`safedreamer logs`: the last lines that runs printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.cli.selection import DAMAGED, Selection
from benchmarks.runs.plain_text import printable
from benchmarks.runs.reading import DamagedFile


@dataclasses.dataclass(frozen=True)
class LogsArgs(Selection):
    """The last lines that runs of a sweep printed."""

    tail: int = 20
    """Lines per run."""


def main(args: Sequence[str]) -> int:
    """Print the lines under the runs' names; returns 0, or DAMAGED if a run was left out."""
    chosen = parse(LogsArgs, args, "safedreamer logs")
    from benchmarks.sweep.logs import tail
    from benchmarks.sweep.members import LOG_FILE

    found, status = chosen.readable()
    for member in found:
        print(printable(f"==> {member.folder.name} ({member.shown})"))
        try:
            lines = tail(member.folder / LOG_FILE, chosen.tail)
        except DamagedFile as error:
            lines, status = [str(error)], DAMAGED
        print(printable("\n".join(lines) or "no log: a sweep has not started it"))
    return status
