"""How long runs take, from the rates that runs of the same results folder reached.

Where nothing was measured, nothing is claimed.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.runs.files import METRICS_FILE
from benchmarks.runs.reading import DamagedFile, decode, is_a, parse_object, read_end
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
    wanted: list[Any] = [
        row.get(name) if row else None for name in ("updates", "env_steps", "wall_seconds")
    ]
    updates, env_steps, seconds = (
        value if is_a(value, float) and 0 < value < math.inf else 0 for value in wanted
    )
    return env_steps / seconds if updates and env_steps and seconds else None


def last_row(path: Path) -> dict[str, Any] | None:
    """The last whole row of a file of JSON rows.

    None when there is none, also where the file is damaged: rates are estimates.
    """
    try:
        lines = read_end(path, TAIL_BYTES).splitlines()
    except DamagedFile:
        return None
    for line in reversed(lines):
        try:
            return parse_object(decode(line, path), path)
        except DamagedFile:  # torn, or cut by the seek
            continue
    return None
