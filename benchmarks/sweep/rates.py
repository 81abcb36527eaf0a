"""How long runs take, from the rates that runs of the same results folder reached.

Where nothing was measured, nothing is claimed.
"""

from __future__ import annotations

import json
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from benchmarks.runs.files import METRICS_FILE
from benchmarks.suites.suite import Entry
from benchmarks.sweep.members import Member

TAIL_BYTES = 64 * 2**10  # more than a row of metrics


class Rates:
    """Simulator steps per second of wall clock, evaluations and compilation included.

    Medians over runs that are alike.

    A run is like another of the same task, else of the same observation; method, variant and preset
    must be the same in any case.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self._measured: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for member in members:
            if (rate := measured(member.folder)) is not None:
                kind = (member.label, member.spec["obs"], member.spec["preset"])
                self._measured[kind].append(rate)
                self._measured[(*kind, member.spec["task"])].append(rate)

    def __call__(self, entry: Entry) -> float | None:
        """The rate that the run may expect; None when no run like it has been measured."""
        spec = entry.spec
        kind = (entry.label, spec.obs, spec.preset)
        found = self._measured.get((*kind, spec.task)) or self._measured.get(kind)
        return statistics.median(found) if found else None

    def hours(self, entry: Entry, env_steps: int) -> float | None:
        """Hours that the run still takes after `env_steps`."""
        rate = self(entry)
        return None if rate is None else max(0, entry.spec.steps - env_steps) / rate / 3600


def measured(folder: Path) -> float | None:
    """The rate of a run over all its time so far.

    None before its first update, because random actions say nothing.
    """
    row = last_row(folder / METRICS_FILE)
    if not row or not row.get("updates") or not row.get("wall_seconds"):
        return None
    return row["env_steps"] / row["wall_seconds"]


def last_row(path: Path) -> dict[str, float] | None:
    """The last whole row of a file of JSON rows; None when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            return json.loads(line)
        except json.JSONDecodeError:  # torn, or cut by the seek
            continue
    return None
