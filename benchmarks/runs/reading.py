"""Reading files that a crash, a full disk, another program or a person may have damaged.

All functions bound size, depth and length of numbers, and turn any damage (wrong encoding,
truncated, empty, NUL bytes, a folder in a file's place, deep nesting, wrong types) into one
`DamagedFile` with file and line. A missing file raises FileNotFoundError, because that is often not
an error. Needs neither JAX nor pandas: the analysis uses it too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    BinaryIO,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import one_line

T = TypeVar("T")
MAX_BYTES = 64 * 2**20  # of one JSON, YAML or log file; records have their own limit
MAX_DEPTH = 64  # of nested lists and objects
MAX_DIGITS = 30  # of an integer; the suite writes at most 19


class DamagedFile(BadInput):
    """A file whose contents are invalid for its name.

    `line` counts from 1; None if the damage is not in a single line.
    """

    def __init__(self, path: str | os.PathLike[str], line: int | None, why: str) -> None:
        self.path, self.line, self.why = Path(path), line, one_line(why)
        super().__init__(
            f"{os.fspath(path)} is damaged ({'' if line is None else f'line {line}: '}{self.why})"
        )


class Line(NamedTuple):
    """One line of a file of JSON objects, numbered from 1."""

    number: int
    data: dict[str, Any]


def check_plain(path: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError or DamagedFile unless the path is a regular file.

    Opening a pipe would block.
    """
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        if path.is_symlink():
            raise DamagedFile(path, None, "it is a link to nothing") from error
        raise
    except OSError as error:
        raise DamagedFile(path, None, error.strerror or type(error).__name__) from error
    if not stat.S_ISREG(mode):
        why = "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"
        raise DamagedFile(path, None, why)


def read_bytes(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """Read a regular file.

    Raises FileNotFoundError if it is missing, DamagedFile if it is too large, unreadable or not a
    regular file.
    """
    with _opened(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise DamagedFile(path, None, f"it is larger than {max_bytes / 2**20:g} MiB")
    return data


def read_end(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Read the last `max_bytes` of a regular file; empty if it is missing.

    Raises DamagedFile if it is unreadable or not a regular file.
    """
    try:
        with _opened(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - max_bytes))
            return file.read(max_bytes)
    except FileNotFoundError:
        return b""


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular file. Errors while it is read become DamagedFile."""
    check_plain(path)
    try:
        with Path(path).open("rb") as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFile(path, None, error.strerror or type(error).__name__) from error


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> str:
    """Read a UTF-8 file without NUL bytes. Raises like `read_bytes`."""
    path = Path(path)
    return decode(read_bytes(path, max_bytes), path)


def decode(data: bytes, path: str | os.PathLike[str]) -> str:
    """Decode UTF-8 bytes without NULs. Raises DamagedFile with the line."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFile(
            path, data.count(b"\n", 0, error.start) + 1, f"it is not UTF-8 text ({error.reason})"
        ) from error
    if (at := text.find("\0")) >= 0:
        raise DamagedFile(path, text.count("\n", 0, at) + 1, "it holds NUL bytes")
    return text


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file of one JSON object. Raises like `read_bytes`."""
    path = Path(path)
    text = read_text(path)
    if not text.strip():
        raise DamagedFile(path, 1, "it is empty")
    return parse_object(text, path)


def parse_object(
    text: str, path: str | os.PathLike[str], line: int | None = None
) -> dict[str, Any]:
    """Parse a JSON object; `line` is its line number if it is one line of a file.

    Raises DamagedFile.
    """
    try:
        data = json.loads(text, parse_int=_bounded_int)
    except json.JSONDecodeError as error:
        why = f"it is not valid JSON: {error.msg}"
        raise DamagedFile(path, line or error.lineno, why) from error
    except ValueError as error:
        raise DamagedFile(path, line, str(error)) from error
    except RecursionError as error:
        raise DamagedFile(path, line, "it is nested too deeply") from error
    if not isinstance(data, dict):
        raise DamagedFile(path, line or 1, f"an object was expected, found {type(data).__name__}")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise DamagedFile(path, line, f"it is nested deeper than {MAX_DEPTH} levels")
    return data


def read_lines(path: str | os.PathLike[str]) -> list[Line]:
    """Read the objects of a JSON Lines file that several processes append to.

    Lines cut short (killed writer, full disk) are skipped. Raises like `read_bytes`, with the line.
    """
    path = Path(path)
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [
        Line(number, parse_object(text, path, number))
        for number, text in lines
        if text and not _cut_short(text)
    ]


def typed(
    cls: type[T], data: Mapping[str, Any], path: str | os.PathLike[str], line: int | None = None
) -> T:
    """Build a flat dataclass or NamedTuple from an object, checking the type of every field.

    Raises DamagedFile for a missing, unknown or mistyped field.
    """
    hints = get_type_hints(cls)
    optional = getattr(cls, "_field_defaults", None) or {
        field.name
        for field in getattr(cls, "__dataclass_fields__", {}).values()
        if field.default is not dataclasses.MISSING
    }
    if unknown := sorted(data.keys() - hints.keys()):
        raise DamagedFile(path, line, f"unknown field {unknown[0]}")
    kinds = {name: hint for name, hint in hints.items() if name in data or name not in optional}
    expect(data, kinds, path, line=line)
    return cls(**data)


def expect(
    data: Mapping[str, Any],
    kinds: Mapping[str, Any],
    path: str | os.PathLike[str],
    within: str = "",
    line: int | None = None,
) -> None:
    """Raise DamagedFile unless an object has these fields with values of these types.

    Other fields are ignored. `line` is the object's line number if it is one line of a file.
    """
    for name, hint in kinds.items():
        if name not in data:
            raise DamagedFile(path, line, f"it lacks {within}{name}")
        if not is_a(data[name], hint):
            why = f"{within}{name} is {data[name]!r:.100}, which is not {spelled(hint)}"
            raise DamagedFile(path, line, why)


def is_a(value: Any, hint: Any) -> bool:
    """Whether a JSON value matches a type annotation.

    Supports str, int, float, bool, None, unions, Literals, lists, tuples and dicts.
    """
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(is_a(value, part) for part in get_args(hint))
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in get_args(hint))
    if origin in (list, tuple):
        kinds = list if origin is list else (list, tuple)
        return isinstance(value, kinds) and all(is_a(item, get_args(hint)[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict)
    if hint in (Any, object):
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint or (hint is None and value is None)


def spelled(hint: Any) -> str:
    """Name a type in words, for messages."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    names |= {NoneType: "null", dict: "an object"}
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(spelled(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return names.get(hint) or names.get(get_origin(hint)) or "a list"


def _bounded_int(text: str) -> int:
    if len(text) > MAX_DIGITS + 1:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _depth(data: Any) -> int:
    depth, level = 0, [data]
    while level and depth <= MAX_DEPTH:
        depth += 1
        parts = [node.values() if isinstance(node, dict) else node for node in level]
        level = [part for some in parts for part in some if isinstance(part, dict | list)]
    return depth


def _cut_short(text: str) -> bool:
    """Whether a line is the beginning of a JSON object and nothing else."""
    try:
        json.loads(text, parse_int=_bounded_int)
    except json.JSONDecodeError as error:
        return text.startswith("{") and (
            error.pos >= len(text) or error.msg.startswith("Unterminated string")
        )
    except (ValueError, RecursionError):
        pass
    return False
