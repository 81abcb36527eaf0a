"""`safedreamer clean`: delete what finished runs no longer need.

Records, metrics, spec and status are always kept.

A cleaned run cannot be extended: without replay buffer and checkpoint it would start over, and its
records with it.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli.common import parse
from benchmarks.cli.selection import DAMAGED, Selection
from benchmarks.runs.plain_text import printable
from benchmarks.runs.reading import DamagedFile


@dataclasses.dataclass(frozen=True)
class CleanArgs(Selection):
    """Delete replay buffers, or checkpoints too, of finished runs."""

    checkpoints: bool = False
    """Delete checkpoints too, not only replay buffers; the runs can then no longer be evaluated."""
    yes: bool = False
    """Actually delete (default: dry run)."""


def main(args: Sequence[str]) -> int:
    """Delete what finished runs no longer need, and print how much; returns 0 or DAMAGED."""
    chosen = parse(CleanArgs, args, "safedreamer clean")
    from benchmarks.runs import attempts
    from benchmarks.runs.errors import BadInput
    from benchmarks.runs.files import CHECKPOINTS, REPLAY
    from benchmarks.sweep.text import amount

    there, status = chosen.readable()
    finished = [member for member in there if member.state == "done"]
    if not finished:
        raise BadInput("none of these runs is finished; only finished ones are cleaned")
    total = 0
    for member in finished:
        names = (REPLAY, CHECKPOINTS) if chosen.checkpoints else (REPLAY,)
        folders = [member.folder / name for name in names]
        try:
            size = sum(_size(folder) for folder in folders)
            if chosen.yes and size:
                # first, so that a partly deleted run never counts as complete
                attempts.add(member.folder, "cleaned")
                for folder in filter(Path.is_dir, folders):
                    shutil.rmtree(folder)
        except (DamagedFile, OSError) as error:
            print(printable(f"left as it is: {member.folder.name}: {error}"), file=sys.stderr)
            status = DAMAGED
            continue
        total += size
        if size:
            print(printable(f"{amount(size):>10}  {member.folder.name}"))
    words = "deleted" if chosen.yes else "would be deleted; add --yes"
    print(f"{amount(total)} of {len(finished)} finished runs {words}")
    return status


def _size(folder: Path) -> int:
    """Bytes of a folder's files, 0 if absent. Raises DamagedFile for a link or a file."""
    if folder.is_symlink():
        raise DamagedFile(folder, None, "it is a link: delete what it points to yourself")
    if folder.exists() and not folder.is_dir():
        raise DamagedFile(folder, None, "it is not a folder")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
