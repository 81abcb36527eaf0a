"""The last lines of a run's log."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.runs.reading import MAX_BYTES, read_end

BYTES_PER_LINE = 400  # more than most lines have; a longer line only makes the tail shorter


def tail(path: str | os.PathLike[str], lines: int) -> list[str]:
    """At most the last `lines` lines; none without a log. Raises DamagedFile."""
    path = Path(path)
    text = read_end(path, min(lines * BYTES_PER_LINE, MAX_BYTES)).decode(errors="replace")
    return [line.replace("\0", "").rstrip("\r") for line in text.split("\n") if line][-lines:]
