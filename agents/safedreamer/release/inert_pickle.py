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
_PUSH_ARGUMENT = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *(
        "UNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "SHORT_BINBYTES",
        "BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ),
}
_PUSH_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_UNSAFE = {
    "PERSID",
    "BINPERSID",
    "EXT1",
    "EXT2",
    "EXT4",
    "INST",
    "OBJ",
    "NEWOBJ_EX",
    "NEXT_BUFFER",
    "READONLY_BUFFER",
}


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
            name = opcode.name
            if name in _UNSAFE:
                raise UnsafeCheckpointError(
                    f"opcode {name} at byte {position} has no place in a checkpoint"
                )
            if name == "STOP":
                expect(len(self.stack) == 1 and not self.marks, "values are left over at its end")
                return self.stack[0]
            if name in _PUSH_ARGUMENT:
                self.stack.append(argument)
            elif name in _PUSH_CONSTANT:
                self.stack.append(_PUSH_CONSTANT[name])
            elif name not in ("PROTO", "FRAME"):
                method = getattr(self, f"_op_{name.lower()}", None)
                if method is None:
                    raise UnsafeCheckpointError(
                        f"opcode {name} at byte {position} has no place in a checkpoint"
                    )
                method(argument)
        raise CheckpointFormatError("it has no end")

    def _pop(self) -> Any:
        expect(len(self.stack) > (self.marks[-1] if self.marks else 0), "an operand is missing")
        return self.stack.pop()

    def _pop_mark(self) -> list[Any]:
        expect(bool(self.marks), "a mark is missing")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _top(self) -> Any:
        expect(len(self.stack) > (self.marks[-1] if self.marks else 0), "an operand is missing")
        return self.stack[-1]

    # --- containers -------------------------------------------------------------------------------
    def _op_mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def _op_pop(self, _: None) -> None:
        self._pop()

    def _op_pop_mark(self, _: None) -> None:
        self._pop_mark()

    def _op_dup(self, _: None) -> None:
        self.stack.append(self._top())

    def _op_empty_list(self, _: None) -> None:
        self.stack.append([])

    def _op_list(self, _: None) -> None:
        self.stack.append(self._pop_mark())

    def _op_append(self, _: None) -> None:
        self._extend([self._pop()])

    def _op_appends(self, _: None) -> None:
        self._extend(self._pop_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        expect(type(target) is list, f"items are appended to a {type(target).__name__}")
        target.extend(values)

    def _op_tuple(self, _: None) -> None:
        self.stack.append(tuple(self._pop_mark()))

    def _op_tuple1(self, _: None) -> None:
        self.stack.append((self._pop(),))

    def _op_tuple2(self, _: None) -> None:
        second, first = self._pop(), self._pop()
        self.stack.append((first, second))

    def _op_tuple3(self, _: None) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self.stack.append((first, second, third))

    def _op_empty_dict(self, _: None) -> None:
        self.stack.append({})

    def _op_dict(self, _: None) -> None:
        values = self._pop_mark()
        self.stack.append({})
        self._update(values)

    def _op_setitem(self, _: None) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def _op_setitems(self, _: None) -> None:
        self._update(self._pop_mark())

    def _update(self, values: list[Any]) -> None:
        target = self._top()
        expect(
            type(target) is dict and len(values) % 2 == 0,
            f"items are set in a {type(target).__name__}",
        )
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Strings only: hashing a deeply nested tuple would overflow the C stack.
            expect(type(key) is str, f"a dict key is a {type(key).__name__}, expected str")
            target[key] = value

    # --- memo -------------------------------------------------------------------------------------
    def _op_memoize(self, _: None) -> None:
        self._op_put(len(self.memo))

    def _op_put(self, key: int) -> None:
        value = self._top()
        self.memo[key] = value
        if isinstance(value, Unfinished):
            value.memo_keys.append(key)

    def _op_get(self, key: int) -> None:
        expect(key in self.memo, f"memo {key} is not set")
        self.stack.append(self.memo[key])

    _op_binput = _op_long_binput = _op_put
    _op_binget = _op_long_binget = _op_get

    # --- names and what is built from them --------------------------------------------------------
    def _op_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_global(module, name)

    def _op_stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        expect(type(name) is str and type(module) is str, "a global is not named by strings")
        self._push_global(module, name)

    def _push_global(self, module: str, name: str) -> None:
        self.stack.append(global_name(module, name))

    def _op_newobj(self, _: None) -> None:
        args, target = self._pop(), self._pop()
        self.stack.append(make_inert(target, args))

    def _op_reduce(self, _: None) -> None:
        args, target = self._pop(), self._pop()
        if not isinstance(target, Global) or type(args) is not tuple:
            raise UnsafeCheckpointError(f"it calls {describe(target)}")
        self.stack.append(
            self._encoded(target, args) if target == ENCODE else reduce_to_data(target, args)
        )

    def _encoded(self, target: Global, args: tuple[Any, ...]) -> bytes:
        key = id(args[0]) if args else 0
        if key not in self.encoded:
            self.encoded[key] = (args[0] if args else None, reduce_to_data(target, args))
        return self.encoded[key][1]

    def _op_build(self, _: None) -> None:
        state, target = self._pop(), self._top()
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
