"""Interprets the names in a checkpoint's pickle.

Rebuilds NumPy arrays from their bytes, and represents optax states by inert records.

Accepted are the constructors of arrays, dtypes and scalars of numeric types under the module names
of NumPy 1 and 2, those of JAX arrays (which become NumPy arrays), and optax's state classes. Names
are compared, never resolved; everything else is rejected. Arrays are read-only views of the bytes
in the file, so a file cannot make us allocate memory by declaring large sizes.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np


class CheckpointFormatError(ValueError):
    """The file is not a pickle, is truncated, or is not a checkpoint of the release."""


class UnsafeCheckpointError(CheckpointFormatError):
    """The file refers to something that a checkpoint never needs; the message names it."""


@dataclasses.dataclass(frozen=True)
class Inert:
    """A record in place of an object of the class `name`, without its content."""

    name: str


@dataclasses.dataclass(frozen=True)
class Global:
    """A global name in the file, never resolved."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False)
class Unfinished:
    """An array or dtype between its construction and its BUILD opcode.

    `memo_keys` are the memo entries to replace by the finished object.
    """

    dtype: np.dtype | None
    memo_keys: list[int] = dataclasses.field(default_factory=list)


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # NumPy 1, NumPy 2
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_RECONSTRUCT = {Global(module, "_reconstruct") for module in _MULTIARRAY}
_SCALAR = {Global(module, "scalar") for module in _MULTIARRAY}
_FROMBUFFER = {Global(module, "_frombuffer") for module in _NUMERIC}
_JAX_ARRAY = {
    Global("jax._src.array", "_reconstruct_array"),
    Global("jax._src.device_array", "reconstruct_device_array"),
}
_NDARRAY, _DTYPE = Global("numpy", "ndarray"), Global("numpy", "dtype")
ENCODE = Global("_codecs", "encode")
_KNOWN = _RECONSTRUCT | _SCALAR | _FROMBUFFER | _JAX_ARRAY | {_NDARRAY, _DTYPE, ENCODE}
_OPTAX_CLASS = re.compile(r"optax(\.[a-z_]+)*\.[A-Z][A-Za-z0-9]*State")
MAX_RANK = 8  # of an array
MAX_SIZE = 2**40  # of an axis
MAX_SHOWN = 80  # characters of the file's own text in a message
_NUMERIC_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c(8|16))|bool")


def expect(condition: bool, message: str) -> None:
    if not condition:
        raise CheckpointFormatError(message)


def global_name(module: str, name: str) -> Global:
    """The name, if array data or optimiser states need it; otherwise rejected."""
    found = Global(module, name)
    if found not in _KNOWN and not ("." not in name and _OPTAX_CLASS.fullmatch(str(found))):
        raise UnsafeCheckpointError(
            f"it refers to {str(found)[:MAX_SHOWN]!r}, which is neither NumPy array data nor "
            "an optax state"
        )
    return found


def describe(value: Any) -> str:
    return str(value)[:MAX_SHOWN] if isinstance(value, Global) else f"a {type(value).__name__}"


def make_inert(target: Any, args: Any) -> Inert:
    if not isinstance(target, Global) or target in _KNOWN or type(args) is not tuple:
        raise UnsafeCheckpointError(f"it constructs {describe(target)}")
    return Inert(str(target))


def reduce_to_data(target: Global, args: tuple[Any, ...]) -> Any:
    if target in _RECONSTRUCT:
        expect(len(args) == 3 and args[0] == _NDARRAY, "an array is not constructed as NumPy does")
        return Unfinished(None)
    if target == _DTYPE:
        expect(1 <= len(args) <= 3, "a dtype is not constructed as NumPy does")
        return Unfinished(_numeric_dtype(args[0]))
    if target in _SCALAR:
        expect(
            len(args) == 2 and isinstance(args[0], np.dtype),
            "a scalar is not constructed as NumPy does",
        )
        return _array(args[0], (), args[1], "C")
    if target in _FROMBUFFER:
        expect(
            len(args) == 4 and args[3] in ("C", "F"), "an array is not constructed as NumPy does"
        )
        return _array(args[1], args[2], args[0], args[3])
    if target in _JAX_ARRAY:
        expect(
            len(args) == 4 and args[0] in _RECONSTRUCT, "a JAX array is not constructed as JAX does"
        )
        return array_from_state(args[2])
    if target == ENCODE:  # encoding of bytes in protocols up to 2
        expect(
            len(args) == 2 and type(args[0]) is str and args[1] == "latin1",
            "bytes are not written as pickle does",
        )
        return args[0].encode("latin1")
    return make_inert(target, args)


def _numeric_dtype(name: Any) -> np.dtype:
    if type(name) is not str:  # its repr may be longer than any memory
        raise UnsafeCheckpointError(
            f"it holds an array of a dtype named by a {type(name).__name__}, only numeric "
            "arrays are read"
        )
    if not _NUMERIC_DTYPE.fullmatch(name):
        raise UnsafeCheckpointError(
            f"it holds an array of dtype {name[:MAX_SHOWN]!r}, only numeric arrays are read"
        )
    return np.dtype(name)


def dtype_from_state(dtype: np.dtype, state: Any) -> np.dtype:
    """Apply NumPy's dtype state: (version, byte order, subarray, names, fields, ...).

    For numbers everything but the byte order is empty.
    """
    order = state[1] if type(state) is tuple and len(state) >= 5 else None
    if order not in ("<", ">", "|", "="):
        raise CheckpointFormatError("a dtype has an unknown state")
    if any(part is not None for part in state[2:5]):
        raise UnsafeCheckpointError(
            "it holds an array of a structured dtype, only numeric arrays are read"
        )
    return dtype.newbyteorder(order)


def array_from_state(state: Any) -> np.ndarray:
    """Array from NumPy's array state: (version, shape, dtype, is Fortran order, bytes)."""
    expect(type(state) is tuple and len(state) == 5, "an array has an unknown state")
    return _array(state[2], state[1], state[4], "F" if state[3] else "C")


def _array(dtype: Any, shape: Any, data: Any, order: Any) -> np.ndarray:
    expect(isinstance(dtype, np.dtype), "an array has no dtype")
    expect(
        type(shape) is tuple and len(shape) <= MAX_RANK,
        f"an array has no shape of at most {MAX_RANK} axes",
    )
    expect(
        all(type(size) is int and 0 <= size <= MAX_SIZE for size in shape), "an array has no shape"
    )
    expect(type(data) in (bytes, bytearray), "an array has no bytes")
    expect(
        len(data) == math.prod(shape) * dtype.itemsize,
        f"an array {dtype}{shape} comes with {len(data)} bytes",
    )
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")
    array.flags.writeable = False
    return array
