"""How long runs take, from rates measured in runs of the same results folder.

Unknown without measurements.
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

    Medians over comparable runs: those with the same method, variant, preset, observation and task,
    or of any task if there are none.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self._measured: dict[tuple[str | None, ...], list[float]] = defaultdict(list)
        for member in members:
            if (rate := measured(member.folder)) is not None:
                spec = member.spec
                for kind in _kinds(spec["method"], member.variant, spec["obs"], spec["preset"]):
                    self._measured[kind].append(rate)
                    self._measured[(*kind, spec["task"])].append(rate)

    def __call__(self, entry: Entry) -> float | None:
        """The expected rate of a run; None if no comparable run has been measured."""
        return self._median(entry, any_variant=False)

    def hours(self, entry: Entry, env_steps: int, *, any_variant: bool = False) -> float | None:
        """Remaining hours of a run after `env_steps`; None if its rate is unknown.

        `any_variant` takes all variants of the method as comparable, although some do more work per
        step than others.
        """
        rate = self._median(entry, any_variant)
        return None if rate is None else max(0, entry.spec.steps - env_steps) / rate / 3600

    def _median(self, entry: Entry, any_variant: bool) -> float | None:
        spec = entry.spec
        kind = _kinds(spec.method, entry.variant, spec.obs, spec.preset)[any_variant]
        found = self._measured.get((*kind, spec.task)) or self._measured.get(kind)
        return statistics.median(found) if found else None


def _kinds(
    method: str, variant: str, obs: str, preset: str
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """What runs of a comparable rate share: with their variant, and without."""
    return (method, obs, preset, variant), (method, obs, preset, None)


def measured(folder: Path) -> float | None:
    """Average rate of a run; None before its first update: prefill is not representative."""
    row = last_row(folder / METRICS_FILE) or {}
    values: list[Any] = [row.get(name) for name in ("updates", "env_steps", "wall_seconds")]
    if not all(is_a(value, float) and 0 < value < math.inf for value in values):
        return None
    return values[1] / values[2]


def last_row(path: Path) -> dict[str, Any] | None:
    """The last complete row of a JSON Lines file.

    None if there is none or the file is damaged: rates are only estimates.
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
