"""`attempts.jsonl` of a run folder: what executors did with the run, one row per event.

submitted   a person asked for the run (sweep, retry); what failed before is forgiven
started     a process was started for it
ended       that process ended with `exit` (a negative number is the signal that killed it)
cancelled   a person wants no more of it
cleaned     its replay buffer, or its checkpoints too, were deleted
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from benchmarks.runs.files import ATTEMPTS_FILE
from benchmarks.runs.status import utc_now

Kind: TypeAlias = Literal["submitted", "started", "ended", "cancelled", "cleaned"]


class Event(NamedTuple):
    """One row. `failed` is meant for an end that was neither success nor a stop by signal."""

    time: str  # UTC, ISO 8601, by the clock of who wrote it
    event: Kind
    exit: int | None = None
    failed: bool = False
    reason: str = ""
    where: str = ""  # executor, and its name for the job
    code: str = ""  # hash of the snapshot that runs


def add(folder: Path, event: Kind, **fields: Any) -> None:
    """Append a row, whole: several processes may write."""
    row = Event(utc_now(), event, **fields)._asdict()
    text = json.dumps(
        {
            key: value
            for key, value in row.items()
            if value is not None and value is not False and value != ""
        }
    )
    with (folder / ATTEMPTS_FILE).open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def read(folder: Path) -> list[Event]:
    """All rows, oldest first; none where nothing was done.

    A torn last row (full disk) is left out.
    """
    try:
        lines = (folder / ATTEMPTS_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        try:
            events.append(Event(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            continue
    return events


def failures(events: list[Event]) -> int:
    """Failed ends since a person last asked for the run."""
    count = 0
    for event in reversed(events):
        if event.event == "submitted":
            break
        count += event.failed
    return count


def cancelled(events: list[Event]) -> bool:
    """Whether a person cancelled the run after last asking for it."""
    return (
        next((e.event for e in reversed(events) if e.event in ("submitted", "cancelled")), None)
        == "cancelled"
    )
