"""Keeps what XLA compiled between processes, so that a second start need not compile for a minute.

JAX has such a cache but no place for it, no bound, and no regard to processors: home folders are
shared by nodes whose processors differ, and code for one may end another's process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from pathlib import Path

from benchmarks.runs.places import user_cache
from benchmarks.runs.provenance import installed_version

SWITCH = "SAFEDREAMER_COMPILATION_CACHE"
MAX_BYTES = 2_000_000_000  # of all versions and processors together


def keep_compiled() -> Path | None:
    """Call before JAX is imported. Returns the cache's folder, or None without one.

    SWITCH=0 turns it off and SWITCH=FOLDER moves it; JAX's own variables are left as they are. A
    folder that cannot be written is done without.
    """
    chosen = os.environ.get(SWITCH, "")
    if chosen == "0" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    top = Path(chosen) if chosen else user_cache() / "compiled"
    folder = top / f"jaxlib-{installed_version('jaxlib') or 'none'}-{_processor()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prune(top, MAX_BYTES)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    # By default only what took a second is kept; a start compiles dozens of smaller functions.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    return folder


def forget_compiled() -> None:
    """Clear JAX's caches of compiled functions, if JAX is imported.

    A process that plays many agents would otherwise keep the functions of each, with their memory
    maps, of which Linux allows a process 65,530.
    """
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def prune(top: Path, max_bytes: int) -> None:
    """Delete the oldest files below `top` until the rest has at most `max_bytes`.

    Other processes may read and prune at the same time: to them a file that is gone was never
    there.
    """
    found = []
    for path in top.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if path.is_file():
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    excess = sum(size for _, size, _ in found) - max_bytes
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size


def _processor() -> str:
    """What distinguishes processors that cannot run each other's code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
    text = "\n".join(sorted(features)) or platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
