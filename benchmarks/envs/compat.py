"""Imports Safety-Gymnasium 1.0.0 on Python 3.11 and chooses the OpenGL backend.

The only file that imports Safety-Gymnasium or MuJoCo.

Works around three incompatibilities of the package with a current Python:
- Its dataclasses have NumPy arrays as defaults, which Python 3.11 refuses (3.9, the package's
  version, shared them between instances). `dataclasses.dataclass` is replaced during the import by
  one that keeps the behaviour of 3.9, then restored.
- MuJoCo reads MUJOCO_GL once, on import (which `import gymnasium` triggers through its plugins),
  and fails if that backend's library is missing. So importing this module first chooses the backend
  (see gl.py): the user's value, else the display, else OSMesa, else EGL, else none. If it cannot be
  loaded, everything but images works.
- MuJoCo 2.3.3 was built for NumPy 1. Under NumPy 2 the arrays inside its small structures (not
  those of model and data) have stride 0: `option.geomgroup[:] = 1` writes one element, and images
  lack goals, hazards and vases. `fix_strides` restores the strides of the structures used for
  rendering.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import farama_notifications
import numpy as np

from benchmarks.envs.gl import choose_gl_backend


@contextlib.contextmanager
def array_defaults() -> Iterator[None]:
    """Let `dataclasses.dataclass` accept NumPy arrays as defaults, shared between instances."""
    original = dataclasses.dataclass

    def share_arrays(cls: type) -> None:
        for name in cls.__dict__.get("__annotations__", {}):
            default = cls.__dict__.get(name)
            if isinstance(default, np.ndarray):
                setattr(
                    cls,
                    name,
                    dataclasses.field(default_factory=functools.partial(_identity, default)),
                )

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


def _import_mujoco() -> tuple[ModuleType, str]:
    """The `mujoco` module, and why the user's MUJOCO_GL could not be loaded ("" if it was).

    Without a backend everything but images works.
    """
    choose_gl_backend()
    try:
        import mujoco
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        # PyOpenGL reports a missing library by any of these while MuJoCo loads its backend.
        asked = os.environ.get("MUJOCO_GL")
        if not asked:
            raise
        os.environ["MUJOCO_GL"] = "disable"
        try:
            import mujoco
        finally:  # restored, so that child processes report the same error for the user's value
            os.environ["MUJOCO_GL"] = asked
        return mujoco, str(error)
    return mujoco, ""


DRAWING_STRUCTURES = ("MjvOption", "MjvCamera", "MjvGeom", "MjvPerturb")


def fix_strides(struct: type) -> None:
    """Give the array properties of a MuJoCo structure contiguous strides, matching their memory."""

    def fixed(getter: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def get(self: Any) -> Any:
            value = getter(self)
            if not isinstance(value, np.ndarray) or value.size < 2 or any(value.strides):
                return value
            strides = np.empty(value.shape, value.dtype).strides
            return np.lib.stride_tricks.as_strided(value, strides=strides)

        return get

    for name, attribute in list(vars(struct).items()):
        if isinstance(attribute, property) and attribute.fget is not None:
            setattr(
                struct,
                name,
                property(fixed(attribute.fget), attribute.fset, attribute.fdel, attribute.__doc__),
            )


# Gymnasium-Robotics prints a notice about its Adroit hands on every import; no task uses them.
farama_notifications.notifications.pop("gymnasium_robotics", None)
mujoco, gl_failure = _import_mujoco()
for _name in DRAWING_STRUCTURES:
    fix_strides(getattr(mujoco, _name))


@contextlib.contextmanager
def user_imports() -> Iterator[None]:
    """Context in which third-party code can import safety_gymnasium."""
    with array_defaults(), warnings.catch_warnings():
        # from its dependencies; users cannot act on them
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@functools.cache
def import_safety_gymnasium() -> ModuleType:
    """The `safety_gymnasium` module, imported on the first call (about a second)."""
    with user_imports():
        import safety_gymnasium
    return safety_gymnasium
