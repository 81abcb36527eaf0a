"""Choice of MuJoCo's OpenGL backend, before anything imports MuJoCo. Imports no simulator itself.

MuJoCo reads MUJOCO_GL once, when it is imported (already `import gymnasium` does so, through its
plugins), and fails then if that backend's library is missing.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
from collections.abc import Callable, Mapping


def default_gl_backend(
    environ: Mapping[str, str], find_library: Callable[[str], str | None]
) -> str | None:
    """Value to give MUJOCO_GL, or None to leave it as it is (set by the user, or there is a display
    for MuJoCo's default).
    """
    if environ.get("MUJOCO_GL") or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        return None
    for backend, library in (("osmesa", "OSMesa"), ("egl", "EGL")):
        if find_library(library):
            return backend
    return "disable"


def choose_gl_backend() -> None:
    """Set MUJOCO_GL to a backend that exists, unless the user or a display has decided or MuJoCo is
    imported already.
    """
    if "mujoco" not in sys.modules:
        backend = default_gl_backend(os.environ, ctypes.util.find_library)
        if backend is not None:
            os.environ["MUJOCO_GL"] = backend
