"""Plain text for people: aligned columns, sizes, durations."""

from __future__ import annotations

from collections.abc import Sequence

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Left-aligned columns under a header, two blanks between them."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


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
