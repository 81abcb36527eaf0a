"""`safedreamer retry`: runs that failed, fell silent or were cancelled wait again, for the next
sweep command to start them.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.cli.selection import Selection


def main(args: Sequence[str]) -> int:
    """Forgive them; returns 0."""
    chosen = parse(
        Selection, args, "safedreamer retry", "Have failed, stale and cancelled runs wait again."
    )
    from benchmarks.runs import attempts
    from benchmarks.runs.spec import BadInput

    found = [
        member for member in chosen.members() if member.standing in ("failed", "stale", "cancelled")
    ]
    if not found:
        raise BadInput("none of these runs failed, fell silent or was cancelled")
    for member in found:
        attempts.add(member.folder, "submitted")
        print(f"waits again: {member.folder.name}")
    print("the sweep command starts them")
    return 0
