"""`safedreamer doctor`: what this machine has, what it lacks, and the command that fixes it.

If environments run under another interpreter, the simulator's packages are checked there, and this
one only needs the learner's packages, in any supported version.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import doctor_checks as checks
from benchmarks.cli.common import parse
from benchmarks.cli.doctor_checks import Check
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
    if other:
        learner = (*checks.LEARNER, *checks.COMMANDS)
        packages = [checks.check_learner_package(name, checks.lower_bounds()) for name in learner]
        packages += [
            checks.check_learner_package(name, {}, required=False) for name in checks.ANALYSIS
        ]
    else:
        packages = [checks.check_package(name, checks.pins()) for name in checks.STACK]
    return [
        checks.check_python(bool(other)),
        checks.check_bytecode(),
        *packages,
        *(checks.check_optional_package(name) for name in checks.OPTIONAL),
        checks.check_jax(config.timeout_s, config.require_gpu),
        *other,
        checks.check_chosen_rendering(config.timeout_s, config.require_gl, python),
        *checks.check_rendering(config.timeout_s, config.require_gl, python),
        checks.check_ffmpeg(),
        checks.check_slurm(),
        *checks.check_machine(config.out),
    ]


def format_report(found: list[Check]) -> str:
    """The report as text: a line per check, then the commands that fix problems."""
    width = max(len(check.name) for check in found)
    lines = [f"{check.status:<8}{check.name:<{width}}  {check.detail}" for check in found]
    fixes: dict[str, list[str]] = {}
    for check in found:
        if check.status != "ok" and check.fix:
            fixes.setdefault(check.fix, []).append(check.name)
    if fixes:
        lines += ["", "To fix:"]
        lines += [f"  {command}    # {', '.join(names)}" for command, names in fixes.items()]
    broken = ", ".join(check.name for check in found if check.broken)
    end = f"Required and missing: {broken}" if broken else "Everything required is there."
    return "\n".join([*lines, "", end])


def main(args: Sequence[str]) -> int:
    """Print the report; returns 1 when something required is missing."""
    config = parse(DoctorConfig, args, "safedreamer doctor")
    if config.env_python is not None:
        from benchmarks.envs.factory import ENV_PYTHON

        os.environ[ENV_PYTHON] = config.env_python
    found = report(config)
    print(format_report(found))
    return int(any(check.broken for check in found))
