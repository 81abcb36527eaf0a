"""`safedreamer clean`: what finished runs no longer need.

Records, metrics, spec and status always stay.

A cleaned run cannot be made longer: without replay buffer and checkpoint it would start over, and
its records with it.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli.common import parse
from benchmarks.cli.selection import Selection


@dataclasses.dataclass(frozen=True)
class CleanArgs(Selection):
    """Which runs, and how much of them."""

    checkpoints: bool = False
    """The checkpoints too, without which a run cannot be evaluated; otherwise only the replay
    buffers.
    """
    yes: bool = False
    """Delete; without it, only say what would go."""


def main(args: Sequence[str]) -> int:
    """Delete replay buffers (and checkpoints) of finished runs, say how much; returns 0."""
    chosen = parse(
        CleanArgs,
        args,
        "safedreamer clean",
        "Delete replay buffers, or checkpoints too, of finished runs.",
    )
    from benchmarks.runs import attempts
    from benchmarks.runs.files import CHECKPOINTS, REPLAY
    from benchmarks.runs.spec import BadInput
    from benchmarks.sweep.text import amount

    finished = [member for member in chosen.members() if member.standing == "done"]
    if not finished:
        raise BadInput("none of these runs is finished; only finished ones are cleaned")
    total = 0
    for member in finished:
        folders = [
            member.folder / REPLAY,
            *([member.folder / CHECKPOINTS] if chosen.checkpoints else []),
        ]
        size = sum(_size(folder) for folder in folders)
        total += size
        if size:
            print(f"{amount(size):>10}  {member.folder.name}")
        if chosen.yes and size:
            attempts.add(member.folder, "cleaned")  # first, so that a run is never taken for whole
            for folder in filter(Path.is_dir, folders):
                shutil.rmtree(folder)
    words = "deleted" if chosen.yes else "would be deleted; add --yes"
    print(f"{amount(total)} of {len(finished)} finished runs {words}")
    return 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
