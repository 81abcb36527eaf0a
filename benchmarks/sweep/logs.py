"""The last lines of a run's log."""

from __future__ import annotations

import os
from pathlib import Path

BYTES_PER_LINE = 400  # more than most lines have; a longer line only makes the tail shorter


def tail(path: Path, lines: int) -> list[str]:
    """At most so many last lines, empty where there is no log. Reads the end of the file only."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - lines * BYTES_PER_LINE))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
