"""Import of Safety-Gymnasium 1.0.0 on Python 3.11, and choice of the OpenGL backend; the only file that imports either.

Three obstacles stand between the package and a current Python:
- its dataclasses have NumPy arrays as defaults, which Python 3.11 refuses (3.9, its own version, shared them between
  instances). `dataclasses.dataclass` is replaced while the package is imported, keeping the 3.9 meaning, then put back;
- MuJoCo reads MUJOCO_GL once, when it is imported (already `import gymnasium` does so, through its plugins), and fails then
  if that backend's library is missing. So the backend is chosen when this module is imported, before either: the user's
  value, else the display, else OSMesa, else EGL, else none (then only images are impossible);
- MuJoCo 2.3.3 was built for NumPy 1. Under NumPy 2 the arrays inside its small structures (not those of model and data) have
  stride 0: `option.geomgroup[:] = 1` writes one element, and pictures lack goals, hazards and vases. `mend_arrays` restores
  the strides of the structures that drawing uses.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import dataclasses
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import farama_notifications
import numpy as np

GL_PACKAGES = "libosmesa6 libegl1 libgl1-mesa-dri"  # Debian and Ubuntu
GL_HELP = (
    f"Images need OpenGL: run `sudo apt-get install {GL_PACKAGES}`, then set MUJOCO_GL=osmesa (software) or MUJOCO_GL=egl "
    "(graphics card) before Python starts. Observations other than vision need none of it: leave MUJOCO_GL unset for them."
)


class MissingGLError(RuntimeError):
    """OpenGL cannot be used; the message names the packages to install and the variable to set."""


def default_gl_backend(environ: Mapping[str, str], find_library: Callable[[str], str | None]) -> str | None:
    """Value to give MUJOCO_GL, or None to leave it as it is (set by the user, or there is a display for MuJoCo's default)."""
    if environ.get("MUJOCO_GL") or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        return None
    for backend, library in (("osmesa", "OSMesa"), ("egl", "EGL")):
        if find_library(library):
            return backend
    return "disable"


@contextlib.contextmanager
def array_defaults() -> Iterator[None]:
    """Within this context `dataclasses.dataclass` accepts NumPy arrays as defaults (shared between instances)."""
    original = dataclasses.dataclass

    def share_arrays(cls: type) -> None:
        for name in cls.__dict__.get("__annotations__", {}):
            default = cls.__dict__.get(name)
            if isinstance(default, np.ndarray):
                setattr(cls, name, dataclasses.field(default_factory=functools.partial(_identity, default)))

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(target: type) -> type:
            share_arrays(target)
            return original(target, **options)

        return decorate if cls is None else decorate(cls)

    dataclasses.dataclass = dataclass
    try:
        yield
    finally:
        dataclasses.dataclass = original


def _identity(value: np.ndarray) -> np.ndarray:
    return value


def _import_mujoco() -> ModuleType:
    """The `mujoco` module with a backend that exists. Raises MissingGLError if the user's MUJOCO_GL cannot be loaded."""
    if "mujoco" not in sys.modules:
        backend = default_gl_backend(os.environ, ctypes.util.find_library)
        if backend is not None:
            os.environ["MUJOCO_GL"] = backend
    try:
        import mujoco
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        # PyOpenGL reports a missing library as any of these, always while MuJoCo loads its backend.
        if os.environ.get("MUJOCO_GL"):
            raise MissingGLError(
                f"MuJoCo could not load the backend MUJOCO_GL={os.environ['MUJOCO_GL']}: {error!r}. {GL_HELP}"
            ) from error
        raise
    return mujoco


DRAWING_STRUCTURES = ("MjvOption", "MjvCamera", "MjvGeom", "MjvPerturb")


def mend_arrays(struct: type) -> None:
    """Give arrays that are properties of a structure of MuJoCo the strides of consecutive elements, which they have in memory."""

    def mended(getter: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def get(self: Any) -> Any:
            value = getter(self)
            if not isinstance(value, np.ndarray) or value.size < 2 or any(value.strides):
                return value
            strides = np.empty(value.shape, value.dtype).strides
            return np.lib.stride_tricks.as_strided(value, strides=strides)

        return get

    for name, attribute in list(vars(struct).items()):
        if isinstance(attribute, property) and attribute.fget is not None:
            setattr(struct, name, property(mended(attribute.fget), attribute.fset, attribute.fdel, attribute.__doc__))


# Gymnasium-Robotics prints a notice about its Adroit hands at every import; none of our tasks has one.
farama_notifications.notifications.pop("gymnasium_robotics", None)
mujoco = _import_mujoco()
for _name in DRAWING_STRUCTURES:
    mend_arrays(getattr(mujoco, _name))


@functools.cache
def import_safety_gymnasium() -> ModuleType:
    """The `safety_gymnasium` module, imported on the first call (about a second)."""
    with array_defaults(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own dependencies; nothing a user could act on
        import safety_gymnasium
    return safety_gymnasium
