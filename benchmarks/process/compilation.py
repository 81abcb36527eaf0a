"""Persistent cache of XLA's compiled functions, so that a second start does not compile for a
minute.

JAX has such a cache, but with no default folder, no size limit and no distinction of processors:
nodes with different processors may share a home folder, and code for one may crash on another.
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
    """Enable the cache; call before JAX is imported. Returns its folder, or None without one.

    SWITCH=0 disables it and SWITCH=FOLDER moves it; JAX's own variables take precedence. There is
    no cache if the folder is not writable.
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
    # JAX only caches functions that took a second; a start compiles dozens of smaller ones.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    return folder


def forget_compiled() -> None:
    """Clear JAX's caches of compiled functions, if JAX is imported.

    A process that runs many agents would otherwise keep the functions of each, with their memory
    maps, of which Linux allows a process 65,530.
    """
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def prune(top: Path, max_bytes: int) -> None:
    """Delete the oldest files below `top` until the rest has at most `max_bytes`.

    Other processes may read and prune at the same time: files that they deleted are ignored.
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
    """An identifier that differs for processors that cannot run each other's code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    features = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
    text = "\n".join(sorted(features)) or platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
