"""`safedreamer demo`: see benchmarks.demo; here its runs meet the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli.common import parse


def main(args: Sequence[str]) -> int:
    """Train four methods with small budgets and plot them; returns 0."""
    from benchmarks.demo import TASK, DemoConfig, run_demo

    config = parse(DemoConfig, args, "safedreamer demo", "Four methods with small budgets on SafetyPointGoal1.")
    # Before the runs, so that they get the minutes that are left: its first import on a machine lists all fonts.
    from analysis.report import write_report

    def report(runs: Path) -> None:
        files = write_report([runs], config.out, title=f"Demo: {TASK}, {config.minutes:g} minutes").files
        print((config.out / "table.md").read_text(encoding="utf-8"))
        print("wrote " + ", ".join(map(str, files)))

    run_demo(config, report)
    return 0
