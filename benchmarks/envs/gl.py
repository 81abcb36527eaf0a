"""Chooses MuJoCo's OpenGL backend before anything imports MuJoCo. Imports no simulator itself.

MuJoCo reads MUJOCO_GL once, on import (which `import gymnasium` triggers through its plugins), and
fails if the value is unknown or the backend's library is missing.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
from collections.abc import Callable, Mapping

from benchmarks.envs.errors import GL_HELP
from benchmarks.runs.plain_text import one_line

# a render camera that shows the whole arena from above; not part of MuJoCo's model
OVERVIEW = "overview"
DECIDING = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")  # the first that is set chooses the backend


def default_gl_backend(
    environ: Mapping[str, str], find_library: Callable[[str], str | None]
) -> str | None:
    """Value for MUJOCO_GL, or None to leave it unchanged (set by the user, or a display is
    available for MuJoCo's default).
    """
    if deciding(environ):
        return None
    for backend, library in (("osmesa", "OSMesa"), ("egl", "EGL")):
        if find_library(library):
            return backend
    return "disable"


def choose_gl_backend() -> None:
    """Set MUJOCO_GL to an installed backend, unless the user or a display determines it or MuJoCo
    is already imported.
    """
    if "mujoco" not in sys.modules:
        backend = default_gl_backend(os.environ, ctypes.util.find_library)
        if backend is not None:
            os.environ["MUJOCO_GL"] = backend


def deciding(environ: Mapping[str, str]) -> str:
    """The variable that determines the backend, as NAME=VALUE; "" if none does."""
    return next(
        (f"{name}={one_line(environ[name], 60)}" for name in DECIDING if environ.get(name)), ""
    )


def explain(why: str, environ: Mapping[str, str]) -> str:
    """One-line error: why images cannot be drawn, and which variable to set or unset."""
    chosen = deciding(environ)
    remedy = f": unset {chosen.partition('=')[0]}" if chosen else ""
    return (
        f"no image can be drawn with {chosen or 'MUJOCO_GL unset'} ({one_line(why, 200)}){remedy}. "
        f"{GL_HELP}"
    )
