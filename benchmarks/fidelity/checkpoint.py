"""Checks an official checkpoint against its list of parameters (`params.json`: path ->
[shape, dtype]).
"""

from __future__ import annotations

from pathlib import Path

from agents.safedreamer.release.checkpoint import load_official
from benchmarks.fidelity.report import Row
from benchmarks.runs.reading import read_object


def check(checkpoint: Path, listing: Path) -> list[Row]:
    """Check that the file, read without executing its content, holds exactly the listed arrays.

    Errors count arrays.
    """
    listed = {name: (tuple(shape), dtype) for name, (shape, dtype) in read_object(listing).items()}
    held = {name: (x.shape, str(x.dtype)) for name, x in load_official(checkpoint).agent.items()}
    absent = sorted(listed.keys() ^ held.keys())
    differing = sorted(name for name in listed.keys() & held.keys() if listed[name] != held[name])
    rows, total = [], len(listed)
    for what, names in (("names", absent), ("shapes and types", differing)):
        count = len(names)
        note = f"differ: {', '.join(names[:5])}" if names else f"{total} arrays"
        shares = float(count), count / max(1, total)
        rows.append(Row(f"checkpoint/{what}", (total,), *shares, not names, note))
    return rows
