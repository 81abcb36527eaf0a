"""`safedreamer demo`: see benchmarks.demo."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cli.common import parse


def main(args: Sequence[str]) -> int:
    """Train four methods with small budgets and plot them; returns 0."""
    from benchmarks.demo import DemoConfig, run_demo

    return run_demo(parse(DemoConfig, args, "safedreamer demo", "Four methods with small budgets on SafetyPointGoal1."))
