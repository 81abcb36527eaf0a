"""Plain text for people: aligned columns, sizes, durations."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

NONE = "-"  # a cell without a value
LEAST = 8  # smallest width in characters to which a column is cut
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Left-aligned columns under a header, separated by two spaces."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def fitted(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """`columns` in at most `width` characters per line (None: no limit).

    If they do not fit, columns without values are dropped first, then the widest are cut, down to
    LEAST characters, and finally those at the right are dropped.
    """
    table = [list(header), *(list(row) for row in rows)]
    if width is None or _width(table) <= width:
        return columns(header, rows)
    full = [i for i in range(len(header)) if not rows or any(row[i] != NONE for row in table[1:])]
    table = [[row[i] for i in full] for row in table]
    while (over := _width(table) - width) > 0:
        sizes = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        widest = max(range(len(sizes)), key=lambda i: sizes[i])
        if sizes[widest] <= LEAST:
            table = [row[:-1] for row in table]
            continue
        second = max([LEAST, *(size for i, size in enumerate(sizes) if i != widest)])
        least = max(LEAST, min(sizes[widest] - 1, second), sizes[widest] - over)
        for row in table:
            row[widest] = _cut(row[widest], least)
    return columns(table[0], table[1:])


def _width(table: Sequence[Sequence[str]]) -> int:
    return sum(max(len(row[i]) for row in table) + 2 for i in range(len(table[0]))) - 2


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def terminal_width() -> int | None:
    """Width of the terminal in characters, or None if stdout is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def amount(size: float) -> str:
    """Bytes with a decimal unit: 24600000000 -> '24.6 GB'."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"


def duration(seconds: float) -> str:
    """Two units at most: 93784 -> '1d 2h'."""
    minutes = round(seconds / 60)
    days, hours = divmod(minutes // 60, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes % 60:02d}m" if hours else f"{minutes}m"
