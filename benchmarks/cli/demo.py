"""`safedreamer demo`: see benchmarks.cli.demo_runs; here its runs are handed to the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import analysis
from benchmarks.cli.common import parse


def main(args: Sequence[str]) -> int:
    """Train four methods with small budgets and plot them; returns the analysis' exit status."""
    from benchmarks.cli.demo_runs import TASK, DemoConfig, run_demo

    config = parse(
        DemoConfig, args, "safedreamer demo", "Four methods with small budgets on SafetyPointGoal1."
    )
    status = 0

    def report(runs: Path) -> None:
        nonlocal status
        title = f"Demo: {TASK}, {config.minutes:g} minutes"
        status = analysis.run("plot", [str(runs), "--out", str(config.out), "--title", title])

    run_demo(config, report)
    return status
