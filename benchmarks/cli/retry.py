"""`safedreamer retry`: reset failed, stale and cancelled runs, so that the next sweep command
starts them.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.cli.selection import DAMAGED, Selection
from benchmarks.runs.plain_text import printable


def main(args: Sequence[str]) -> int:
    """Reset the runs; returns 0, or DAMAGED if a run was left out."""
    about = "Have failed, stale and cancelled runs wait again."
    chosen = parse(Selection, args, "safedreamer retry", about)
    from benchmarks.runs import attempts
    from benchmarks.runs.errors import BadInput

    there, status = chosen.readable()
    found = [member for member in there if member.state in ("failed", "stale", "cancelled")]
    if not found:
        raise BadInput("none of these runs failed, is stale or was cancelled")
    for member in found:
        try:
            attempts.add(member.folder, "submitted")
        except OSError as error:
            print(printable(f"cannot be reset ({error.strerror}): {member.folder.name}"))
            status = DAMAGED
            continue
        print(printable(f"waits again: {member.folder.name}"))
    print("the sweep command starts them")
    return status
