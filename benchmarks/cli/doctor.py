"""`safedreamer doctor`: see benchmarks.doctor."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.doctor import DoctorConfig, run_doctor


def main(args: Sequence[str]) -> int:
    """Print the report; returns 1 when something required is missing."""
    return run_doctor(
        parse(DoctorConfig, args, "safedreamer doctor", "What this machine has and lacks.")
    )
