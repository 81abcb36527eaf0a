"""Reads a pickle as data: a stack machine over `pickletools.genops` that treats globals as names.

Unlike with a `pickle.Unpickler` with a restricted `find_class`, nothing named by the file is ever
imported, called or given attributes, so there are no gadgets to exploit. Plain containers, numbers,
strings and bytes are handled here; `inert_arrays.py` interprets names. Persistent ids, extension
codes and all opcodes that a checkpoint does not need are rejected.
"""

from __future__ import annotations

import mmap
import os
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.safedreamer.release.inert_arrays import (
    ENCODE,
    CheckpointFormatError,
    Global,
    Inert,
    Unfinished,
    UnsafeCheckpointError,
    array_from_state,
    describe,
    dtype_from_state,
    expect,
    global_name,
    make_inert,
    reduce_to_data,
)

MAX_MESSAGE = 300  # characters


def read_pickle(path: str | os.PathLike[str]) -> Any:
    """Read the content of a pickle file as inert data.

    Raises CheckpointFormatError, UnsafeCheckpointError, or OSError.
    """
    path = Path(path)
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise CheckpointFormatError(f"{path} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _Machine().run(data)
            except UnsafeCheckpointError as error:
                raise UnsafeCheckpointError(f"{path}: {str(error)[:MAX_MESSAGE]}") from error
            # Raised by genops and the stack machine for bytes that are not a complete pickle.
            except (ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError) as error:
                raise CheckpointFormatError(
                    f"{path} is not a complete pickle file: {str(error)[:MAX_MESSAGE]}"
                ) from error


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        # by id: a string that the file uses often is converted to bytes once
        self.encoded: dict[int, tuple[Any, bytes]] = {}

    def run(self, data: mmap.mmap) -> Any:
        # genops needs only read, readline and tell
        for opcode, argument, position in pickletools.genops(data):  # type: ignore[arg-type]
            if opcode.name == "STOP":
                expect(len(self.stack) == 1 and not self.marks, "values are left over at its end")
                return self.stack[0]
            if opcode.name not in _ACCEPTED:
                raise UnsafeCheckpointError(
                    f"opcode {opcode.name} at byte {position} has no place in a checkpoint"
                )
            _ACCEPTED[opcode.name](self, argument)
        raise CheckpointFormatError("it has no end")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def top(self) -> Any:
        expect(len(self.stack) > (self.marks[-1] if self.marks else 0), "an operand is missing")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def pop_many(self, count: int) -> list[Any]:
        """The last `count` operands, in the order in which they were pushed."""
        return [self.pop() for _ in range(count)][::-1]

    def pop_mark(self) -> list[Any]:
        expect(bool(self.marks), "a mark is missing")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        expect(type(target) is list, f"items are appended to a {type(target).__name__}")
        target.extend(values)

    def update(self, values: list[Any], fresh: dict[str, Any] | None = None) -> None:
        """Set the items `values`, keys and values in turn, in the dict on top, or in a new one."""
        if fresh is not None:
            self.push(fresh)
        target = self.top()
        expect(
            type(target) is dict and len(values) % 2 == 0,
            f"items are set in a {type(target).__name__}",
        )
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Strings only: hashing a deeply nested tuple would overflow the C stack.
            expect(type(key) is str, f"a dict key is a {type(key).__name__}, expected str")
            target[key] = value

    def put(self, key: int) -> None:
        value = self.top()
        self.memo[key] = value
        if isinstance(value, Unfinished):
            value.memo_keys.append(key)

    def get(self, key: int) -> None:
        expect(key in self.memo, f"memo {key} is not set")
        self.push(self.memo[key])

    def stack_global(self) -> None:
        module, name = self.pop_many(2)
        expect(type(module) is type(name) is str, "a global is not named by strings")
        self.push(global_name(module, name))

    def reduce(self, target: Any, args: Any) -> None:
        if not isinstance(target, Global) or type(args) is not tuple:
            raise UnsafeCheckpointError(f"it calls {describe(target)}")
        self.push(self.encode(args) if target == ENCODE else reduce_to_data(target, args))

    def encode(self, args: tuple[Any, ...]) -> bytes:
        key = id(args[0]) if args else 0
        if key not in self.encoded:
            self.encoded[key] = (args[0] if args else None, reduce_to_data(ENCODE, args))
        return self.encoded[key][1]

    def build(self, state: Any) -> None:
        target = self.top()
        if isinstance(target, Inert):  # optimiser states are not read
            return
        if not isinstance(target, Unfinished):
            raise UnsafeCheckpointError(f"it sets the state of {describe(target)}")
        finished = (
            array_from_state(state)
            if target.dtype is None
            else dtype_from_state(target.dtype, state)
        )
        self.stack[-1] = finished
        for key in target.memo_keys:
            self.memo[key] = finished


_ACCEPTED: dict[str, Callable[[_Machine, Any], object]] = {  # by opcode
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    # values
    **dict.fromkeys(
        "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE "
        "BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8".split(),
        _Machine.push,
    ),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    # the stack
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.pop_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    # containers
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "APPEND": lambda machine, _: machine.extend(machine.pop_many(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop_many(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop_many(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop_many(3))),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.update(machine.pop_mark(), {}),
    "SETITEM": lambda machine, _: machine.update(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_mark()),
    # memo
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    # names, and what is built from them
    "GLOBAL": lambda machine, name: machine.push(global_name(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "NEWOBJ": lambda machine, _: machine.push(make_inert(*machine.pop_many(2))),
    "REDUCE": lambda machine, _: machine.reduce(*machine.pop_many(2)),
    "BUILD": lambda machine, _: machine.build(machine.pop()),
}
