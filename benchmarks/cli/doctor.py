"""`safedreamer doctor`: see benchmarks.cli.doctor_checks."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.cli.doctor_checks import DoctorConfig, run_doctor


def main(args: Sequence[str]) -> int:
    """Print the report; returns 1 when something required is missing."""
    return run_doctor(
        parse(DoctorConfig, args, "safedreamer doctor", "What this machine has and lacks.")
    )
