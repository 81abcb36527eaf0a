"""`safedreamer status`: where the runs of a results folder stand."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.cli.common import parse
from benchmarks.cli.selection import Selection
from benchmarks.runs.spec import BadInput

if TYPE_CHECKING:
    from rich.text import Text


@dataclasses.dataclass(frozen=True)
class StatusArgs(Selection):
    """Which runs, and what of them."""

    failed: bool = False
    """List what failed, fell silent or was cancelled, with the reasons."""
    runs: bool = False
    """One line for each run instead of each method and task."""
    equal_progress: bool = False
    """Compare evaluations at the step that all have reached."""
    watch: bool = False
    """Again and again, until Ctrl-C."""
    watch_seconds: float = 5.0
    """Seconds between two looks."""


def main(args: Sequence[str]) -> int:
    """Print the table; returns 0."""
    chosen = parse(StatusArgs, args, "safedreamer status", "Where the runs of a sweep stand.")
    if sum((chosen.failed, chosen.equal_progress, chosen.runs)) > 1:
        raise BadInput("choose one of --failed, --runs and --equal-progress")
    if not chosen.watch_seconds > 0:
        raise BadInput(f"watch_seconds={chosen.watch_seconds} must be positive")
    if not chosen.watch:
        print("\n".join(report(chosen)))
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        _watch(chosen)
    return 0


def _watch(chosen: StatusArgs) -> None:
    """In place on a terminal, one table after another elsewhere."""
    if not sys.stdout.isatty():
        while True:
            print("\n".join(report(chosen)), flush=True)
            time.sleep(chosen.watch_seconds)
    from rich.live import Live

    with Live(_text(chosen), auto_refresh=False) as live:
        while True:
            time.sleep(chosen.watch_seconds)
            live.update(_text(chosen), refresh=True)


def _text(chosen: StatusArgs) -> Text:
    from rich.text import Text

    return Text("\n".join(report(chosen)), no_wrap=True, overflow="crop")


def report(chosen: StatusArgs) -> list[str]:
    """The lines to print."""
    from benchmarks.sweep import overview

    found = chosen.members()
    if chosen.failed:
        return overview.failures(found)
    if chosen.runs:
        return overview.each(found)
    if not chosen.equal_progress:
        return overview.overview(found)
    from benchmarks.sweep.records import evaluations, reached

    known = {member.folder: evaluations(member.folder) for member in found}
    return overview.compared(found, lambda member, limit: reached(known[member.folder], limit))
