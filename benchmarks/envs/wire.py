"""Messages between learner and environment processes.

Numbers, strings, lists, dicts and arrays, encoded as MessagePack.

Pickle is not used, so that the two sides may run different versions of Python and NumPy. An array
is sent as dtype, shape and bytes; NumPy scalars become Python scalars; tuples arrive as lists.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from agents.api import ArraySpec, EnvSpec

ARRAY = 1  # MessagePack extension type


def pack(message: Any) -> bytes:
    """Encode a message as bytes. Raises TypeError for an unsupported type, and names it."""
    # packb returns None only for a packer that keeps its buffer
    packed: Any = msgpack.packb(message, default=_pack_other)
    return packed


def unpack(data: bytes) -> Any:
    """Decode a message from `pack`; arrays are read-only views of `data`."""
    return msgpack.unpackb(data, ext_hook=_unpack_array, strict_map_key=False)


def _pack_other(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.hasobject is False:
        header = [value.dtype.str, list(value.shape)]
        return msgpack.ExtType(
            ARRAY, msgpack.packb([header, np.ascontiguousarray(value).tobytes()])
        )
    raise TypeError(
        "environment processes exchange numbers, texts, lists, dicts and arrays, not "
        f"{type(value).__name__}"
    )


def _unpack_array(code: int, data: bytes) -> Any:
    if code != ARRAY:
        raise ValueError(f"unknown extension type {code} in a message of an environment process")
    (dtype, shape), content = msgpack.unpackb(data)
    return np.frombuffer(content, dtype).reshape(shape)


def spec_to_plain(spec: EnvSpec) -> dict[str, Any]:
    """The spec as a message; `spec_from_plain` is the inverse."""
    layout = {name: [part.start, part.stop] for name, part in spec.layout.items()}
    return dataclasses.asdict(spec) | {"layout": layout}


def spec_from_plain(data: Mapping[str, Any]) -> EnvSpec:
    """The spec of an unpacked message."""
    obs = {key: ArraySpec(tuple(x["shape"]), x["dtype"]) for key, x in data["obs"].items()}
    layout = {name: slice(start, stop) for name, (start, stop) in data["layout"].items()}
    return EnvSpec(**{**data, "obs": obs, "layout": layout, "costly": tuple(data["costly"])})
