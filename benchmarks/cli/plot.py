"""`safedreamer plot`: curves and tables from run folders; the work is done by `analysis`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.spec import BadInput


@dataclasses.dataclass(frozen=True)
class PlotArgs:
    """What to plot, and where to."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or folders that hold them at any depth."""
    out: Path
    """Folder for figures and tables."""
    last: int = 10
    """Evaluation episodes per run in the table."""
    cost_limit: float | None = None
    """Cost limit per episode; that of each run if not given."""
    title: str = ""
    """Heading of figure and table; the task if empty."""


def main(args: Sequence[str]) -> int:
    """Write the report and print its table; returns 0."""
    chosen = parse(PlotArgs, args, "safedreamer plot", "Reward and cost curves and a table of final performance.")
    if not chosen.runs:
        raise BadInput("give at least one run folder")
    from analysis.report import write_report

    try:
        report = write_report(chosen.runs, chosen.out, k=chosen.last, cost_limit=chosen.cost_limit, title=chosen.title)
    except (FileNotFoundError, ValueError) as error:
        raise BadInput(str(error)) from error
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print((chosen.out / "table.md").read_text(encoding="utf-8"))
    print("wrote " + ", ".join(map(str, report.files)))
    return 0
