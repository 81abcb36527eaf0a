"""Where a result comes from: the commit, the package versions and the machine, for spec.json."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.runs.reading import read_object

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "numpy"),
    *("mujoco", "gymnasium", "safety-gymnasium", "torch", "omnisafe"),
)
# git state of the checkout that a code snapshot was copied from (sweep/code.py)
SNAPSHOT_FILE = "snapshot.json"
_ROOT = Path(__file__).resolve().parents[2]


def jax_devices() -> list[str]:
    """List JAX's devices. Imports JAX."""
    import jax

    return [f"{device.platform}: {device.device_kind}" for device in jax.devices()]


def provenance(devices: Callable[[], list[str]] = jax_devices) -> dict[str, Any]:
    """Collect commit, dirty flag, package versions and hardware with its `devices`."""
    return {"git": git_state(), "versions": versions(), "hardware": hardware(devices)}


def command() -> str:
    """The command line that started this process, to be run again in a shell."""
    return shlex.join(["python", *sys.orig_argv[1:]])


def write_report(file: Path, report: Mapping[str, Any]) -> None:
    """Write measurements as JSON with the command that made them and their provenance, creating
    the folder if needed.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"command": command(), **report, **provenance()}, indent=1)
    file.write_text(text + "\n", encoding="utf-8")


def suite_version() -> str:
    """Version of the suite: as installed, else from the checkout's pyproject.toml."""
    if version := installed_version("safedreamer-suite"):
        return version
    with (_ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["version"]


def git_state(root: Path = _ROOT) -> dict[str, Any]:
    """Return a checkout's commit, and whether tracked files differ from it.

    Both are None outside a git checkout. The code snapshot of a sweep has those of its source
    checkout, and its own hash.
    """
    if (root / SNAPSHOT_FILE).is_file():
        return read_object(root / SNAPSHOT_FILE)
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _git(root: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *args], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        # no git, no repository or no commit: recorded as None
        return None
    return done.stdout.strip()


def versions() -> dict[str, str | None]:
    """Installed versions; None for a package that is not installed."""
    python: dict[str, str | None] = {"python": platform.python_version()}
    return python | {name: installed_version(name) for name in PACKAGES}


def installed_version(package: str) -> str | None:
    """Version of a package, or None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def hardware(devices: Callable[[], list[str]] = jax_devices) -> dict[str, Any]:
    """Describe processor, cores available to this process, memory in GiB, and devices."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "devices": devices(),
        "system": platform.platform(),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    found = re.search(r"^model name[^:]*:(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()
