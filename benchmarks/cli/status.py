"""`safedreamer status`: state and progress of the runs of a results folder."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.common import parse
from benchmarks.cli.selection import DAMAGED, Selection
from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import printable

if TYPE_CHECKING:
    from benchmarks.sweep.members import Member


@dataclasses.dataclass(frozen=True)
class StatusArgs(Selection):
    """Where the runs of a sweep stand."""

    failed: bool = False
    """List failed, stale and cancelled runs, with the reasons."""
    runs: bool = False
    """Print one line per run instead of per method and task."""
    equal_progress: bool = False
    """Compare evaluations at the step that all runs have reached."""
    watch: bool = False
    """Refresh until Ctrl-C."""
    watch_seconds: float = 5.0
    """Seconds between refreshes."""


def main(args: Sequence[str]) -> int:
    """Print the table; returns 0, or DAMAGED if a run was left out."""
    chosen = parse(StatusArgs, args, "safedreamer status")
    if sum((chosen.failed, chosen.equal_progress, chosen.runs)) > 1:
        raise BadInput("choose one of --failed, --runs and --equal-progress")
    if not chosen.watch:
        lines, status = report(chosen)
        print(printable("\n".join(lines)))
        return status
    with contextlib.suppress(KeyboardInterrupt):
        _watch(chosen)
    return 0


def _watch(chosen: StatusArgs) -> None:
    """Refresh the table: in place on a terminal, else one table after another."""

    def table() -> str:
        return printable("\n".join(report(chosen)[0]))

    if not sys.stdout.isatty():
        while True:
            print(table(), flush=True)
            time.sleep(chosen.watch_seconds)
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        while True:
            live.update(Text(table(), no_wrap=True, overflow="crop"), refresh=True)
            time.sleep(chosen.watch_seconds)


def report(chosen: StatusArgs) -> tuple[list[str], int]:
    """The lines to print, those of damaged runs last, and the exit status."""
    from benchmarks.sweep import overview
    from benchmarks.sweep.text import terminal_width

    damage = io.StringIO()
    found, status = chosen.readable(damage)
    width = terminal_width()
    if chosen.equal_progress:
        lines, status = _compared(found, damage, status, width)
    elif chosen.failed:
        lines = overview.failures(found, width)
    else:
        lines = (overview.each if chosen.runs else overview.overview)(found, width)
    return [*lines, *damage.getvalue().splitlines()], status


def _compared(
    found: Sequence[Member], damage: io.StringIO, status: int, width: int | None
) -> tuple[list[str], int]:
    """Evaluations at equal progress; runs with unreadable records are left out and reported."""
    from benchmarks.sweep import overview

    known: dict[Path, list[overview.Reached]] = {}
    for member in found:
        try:
            known[member.folder] = overview.evaluations(member.folder)
        except ValueError as error:
            print(f"damaged, left out: {member.folder.name}: {error}", file=damage)
            status = DAMAGED
    able = [member for member in found if member.folder in known]
    return overview.compared(able, known, width), status
