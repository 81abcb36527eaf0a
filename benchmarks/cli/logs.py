"""`safedreamer logs`: the last lines that runs printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.cli.selection import Selection
from benchmarks.runs.spec import BadInput


@dataclasses.dataclass(frozen=True)
class LogsArgs(Selection):
    """Which runs, and how much of their logs."""

    tail: int = 20
    """Lines of each."""


def main(args: Sequence[str]) -> int:
    """Print them under the runs' names; returns 0."""
    chosen = parse(
        LogsArgs, args, "safedreamer logs", "The last lines that runs of a sweep printed."
    )
    if chosen.tail < 1:
        raise BadInput(f"tail={chosen.tail} must be at least 1")
    from benchmarks.sweep.logs import tail
    from benchmarks.sweep.members import LOG_FILE

    for member in chosen.members():
        print(f"==> {member.folder.name} ({member.standing})")
        print(
            "\n".join(
                tail(member.folder / LOG_FILE, chosen.tail)
                or ["no log: a sweep has not started it"]
            )
        )
    return 0
