"""`safedreamer doctor`: what this machine has, what it lacks, and the command that fixes it.

If environments run under another interpreter, the simulator's packages are checked there, and this
one only needs the learner's packages, in any supported version.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli.common import parse
from benchmarks.cli.doctor_checks import (
    ANALYSIS,
    COMMANDS,
    LEARNER,
    OPTIONAL,
    STACK,
    Check,
    check_bytecode,
    check_chosen_rendering,
    check_ffmpeg,
    check_jax,
    check_learner_package,
    check_machine,
    check_optional_package,
    check_package,
    check_python,
    check_rendering,
    check_slurm,
    lower_bounds,
    pins,
)
from benchmarks.cli.doctor_envs import check_env_python
from benchmarks.runs.errors import BadInput


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """What this machine has and lacks."""

    out: Path = Path()  # folder that will hold runs; its free disk space is shown
    require_gl: bool = False  # rendering must work (observations `vision`, videos)
    require_gpu: bool = False  # JAX must see a GPU or TPU
    timeout_s: float = 120.0  # time limit in seconds of each check in a separate process
    # Python interpreter for the environments; if not given, SAFEDREAMER_ENV_PYTHON, else this one
    env_python: str | None = None

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s={self.timeout_s} must be positive")


def report(config: DoctorConfig = DoctorConfig()) -> list[Check]:
    """All checks, in the order they are printed."""
    from benchmarks.envs.factory import chosen_python  # here, because it imports NumPy

    python, other = "", []
    try:
        python = chosen_python()
        other = check_env_python(python, config.timeout_s) if python else []
    except BadInput as error:
        other = [Check("environments' Python", "missing", str(error), True)]
    return [
        check_python(bool(other)),
        check_bytecode(),
        *(
            [check_learner_package(name, lower_bounds()) for name in (*LEARNER, *COMMANDS)]
            + [check_learner_package(name, {}, required=False) for name in ANALYSIS]
            if other
            else [check_package(name, pins()) for name in STACK]
        ),
        *(check_optional_package(name) for name in OPTIONAL),
        check_jax(config.timeout_s, config.require_gpu),
        *other,
        check_chosen_rendering(config.timeout_s, config.require_gl, python),
        *check_rendering(config.timeout_s, config.require_gl, python),
        check_ffmpeg(),
        check_slurm(),
        *check_machine(config.out),
    ]


def run_doctor(config: DoctorConfig) -> int:
    """Print the report. Returns 1 if something required is missing, else 0."""
    if config.env_python is not None:
        from benchmarks.envs.factory import ENV_PYTHON

        os.environ[ENV_PYTHON] = config.env_python
    checks = report(config)
    print(format_report(checks))
    return int(any(check.required and check.status == "missing" for check in checks))


def format_report(checks: list[Check]) -> str:
    """The report as text: a line per check, then the commands that fix problems."""
    width = max(len(check.name) for check in checks)
    lines = [f"{check.status:<8}{check.name:<{width}}  {check.detail}" for check in checks]
    fixes: dict[str, list[str]] = {}
    for check in checks:
        if check.status != "ok" and check.fix:
            fixes.setdefault(check.fix, []).append(check.name)
    if fixes:
        lines += ["", "To fix:"]
        lines += [f"  {command}    # {', '.join(names)}" for command, names in fixes.items()]
    broken = [check.name for check in checks if check.required and check.status == "missing"]
    lines += [
        "",
        f"Required and missing: {', '.join(broken)}" if broken else "Everything required is there.",
    ]
    return "\n".join(lines)


def main(args: Sequence[str]) -> int:
    """Print the report; returns 1 when something required is missing."""
    return run_doctor(parse(DoctorConfig, args, "safedreamer doctor"))
