"""`attempts.jsonl` of a run folder: what executors did with the run, one row per event.

submitted   the run was submitted (sweep, retry); earlier failures no longer count
started     a process was started for it
ended       that process exited with status `exit` (negative: the signal that killed it)
cancelled   the run was cancelled
cleaned     its replay buffer, or its checkpoints too, were deleted
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from benchmarks.runs.files import ATTEMPTS_FILE
from benchmarks.runs.reading import DamagedFile, read_lines, typed
from benchmarks.runs.status import utc_now

Kind: TypeAlias = Literal["submitted", "started", "ended", "cancelled", "cleaned"]


class Event(NamedTuple):
    """One row. `failed` marks an end that was neither a success nor a stop by signal."""

    time: str  # UTC, ISO 8601, by the writer's clock
    event: Kind
    exit: int | None = None
    failed: bool = False
    reason: str = ""
    where: str = ""  # executor, and its name for the job
    code: str = ""  # hash of the code snapshot


def add(folder: str | os.PathLike[str], event: Kind, **fields: Any) -> None:
    """Append a row in one write: several processes may append. Ends a torn last row first."""
    row = Event(utc_now(), event, **fields)._asdict()
    unset = Event._field_defaults
    text = json.dumps({k: v for k, v in row.items() if k not in unset or v != unset[k]})
    with (Path(folder) / ATTEMPTS_FILE).open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            text = text if file.read(1) == b"\n" else f"\n{text}"
        file.write(f"{text}\n".encode())


def read(folder: str | os.PathLike[str]) -> list[Event]:
    """Return all rows, oldest first; empty if there is no file.

    Rows cut short by a full disk are skipped. Raises DamagedFile, with the line.
    """
    path = Path(folder) / ATTEMPTS_FILE
    try:
        lines = read_lines(path)
    except FileNotFoundError:
        return []
    return [typed(Event, line.data, path, line.number) for line in lines]


def last(events: list[Event], *kinds: Kind) -> Event | None:
    """Return the last event of one of these kinds, or None."""
    return next((event for event in reversed(events) if event.event in kinds), None)


def failures(events: list[Event]) -> int:
    """Number of failed ends since the run was last submitted."""
    count = 0
    for event in reversed(events):
        if event.event == "submitted":
            break
        count += event.failed
    return count


def cancelled(events: list[Event]) -> bool:
    """Whether the run was cancelled after it was last submitted."""
    found = last(events, "submitted", "cancelled")
    return found is not None and found.event == "cancelled"


def is_cancelled(folder: str | os.PathLike[str]) -> bool:
    """Whether the run in `folder` is cancelled.

    False if its file is damaged; the damage is reported when the run ends.
    """
    try:
        return cancelled(read(folder))
    except DamagedFile:
        return False
