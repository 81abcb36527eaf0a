"""Checks of a separate interpreter for environments: its version, the packages of
requirements/envs.txt, and whether an environment process starts under it.

They run in processes of that interpreter, with the variables of environment processes.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.cli.doctor_checks import ROOT, Check, last_line, pins
from benchmarks.runs.errors import BadInput

SHOWN = ("gymnasium", "mujoco", "safety-gymnasium", "numpy")
PYTHON = (3, 11)  # what MuJoCo 2.3.3 has builds for
_LOOK = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps({"python": sys.version_info[:3], "packages": found}))
"""


def check_env_python(
    python: str, timeout_s: float, lock: Path = ROOT / "requirements" / "envs.txt"
) -> list[Check]:
    """Checks of an interpreter that environments run under; all are required."""
    from benchmarks.envs.worker import check_python  # here, because it imports NumPy

    wanted = pins(lock)
    name = "environments' Python"
    try:
        found = _look(python, list(wanted), timeout_s)
    except BadInput as error:
        return [Check(name, "missing", str(error), True)]
    version = tuple(found["python"])
    status = "ok" if version[:2] == PYTHON else "missing"
    shown = f"{'.'.join(map(str, version))} at {python} (3.11 wanted)"
    worker = Check("environments' worker", "ok", "starts", True)
    try:
        check_python(python)
    except BadInput as error:
        worker = dataclasses.replace(worker, status="missing", detail=str(error))
    packages = _packages(python, found["packages"], wanted)
    return [Check(name, status, shown, True), *packages, worker]


def _look(python: str, names: list[str], timeout_s: float) -> dict[str, Any]:
    """Version of that Python and of its packages. Raises BadInput with the reason."""
    from benchmarks.envs.worker import worker_environ

    try:
        done = subprocess.run(
            [python, "-c", _LOOK, *names],
            env=worker_environ(python),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BadInput(f"{python} does not answer: {error}") from error
    if done.returncode:
        reason = last_line(done.stderr) or f"exit status {done.returncode}"
        raise BadInput(f"{python} does not work: {reason}")
    return json.loads(last_line(done.stdout))


def _packages(python: str, found: dict[str, str], wanted: dict[str, str]) -> list[Check]:
    """One check if all packages are as pinned, else one for each that is not."""
    install = f"{python} -m pip install --no-deps"
    fix = f"{install} -r requirements/envs.txt"
    absent = [name for name in wanted if name not in found]
    checks = [
        Check(f"environments' {name}", "missing", "not installed", True, fix) for name in absent
    ]
    for name, version in found.items():
        if version != wanted[name]:
            detail = f"{version}, but requirements/envs.txt has {wanted[name]}"
            fix = f"{install} {name}=={wanted[name]}"
            checks.append(Check(f"environments' {name}", "warn", detail, True, fix))
    shown = ", ".join(f"{name} {found[name]}" for name in SHOWN if name in found)
    return checks or [Check("environments' packages", "ok", shown, True)]
