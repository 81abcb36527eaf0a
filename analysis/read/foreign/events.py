"""Scalars of TensorBoard event files, read with tensorboardX, which also writes ours.

A file is a sequence of records: length (uint64), its checksum, a protocol buffer, its checksum.
Scalars are plain values, or tensors of the plugin `scalars`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HEAD = struct.Struct("<QI")  # length of a record and its checksum
TAIL = 4  # bytes of the checksum that follows it
TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # numbers of TensorFlow's dtypes


class Scalar(NamedTuple):
    """One value of a tag."""

    tag: str
    step: int
    value: float


def scalars(file: Path) -> Iterator[Scalar]:
    """The scalars of a file in file order; an unfinished last record is skipped.

    Raises ImportError without tensorboardX, and errors of its protocol buffers for damaged bytes.
    """
    from tensorboardX.proto.event_pb2 import Event

    data = file.read_bytes()
    place = 0
    while place + HEAD.size <= len(data):
        (length, _) = HEAD.unpack_from(data, place)
        start = place + HEAD.size
        place = start + length + TAIL
        if place > len(data):
            return
        event: Any = Event()
        event.ParseFromString(data[start : start + length])
        for value in event.summary.value:
            number = _number(value)
            if number is not None:
                yield Scalar(value.tag, event.step, number)


def _number(value: Any) -> float | None:
    """The scalar of a summary value; None for images, texts and histograms."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.metadata.plugin_data.plugin_name != "scalars" or not value.HasField("tensor"):
        return None
    tensor = value.tensor
    if tensor.tensor_content:
        dtype = TYPES.get(tensor.dtype)
        return None if dtype is None else float(np.frombuffer(tensor.tensor_content, dtype)[0])
    for name in ("float_val", "double_val", "int_val", "int64_val"):
        if found := getattr(tensor, name):
            return float(found[0])
    return None
