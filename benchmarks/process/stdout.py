"""Commands whose output cannot be written: closed by its reader (`| head -1`), on a full disk, or
never open (`>&-`).

Commands that only print end quietly; commands that train or write files continue without output, so
that nothing is lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

EXIT_CLOSED = 141  # what shells report for SIGPIPE
EXIT_FULL = 1


class _Watched:
    """A stream that records its failure, because an OSError does not identify its file.

    With `on_failure`, the first error is passed to it instead of raised, and later output is
    discarded.
    """

    def __init__(self, stream: Any, on_failure: Callable[[OSError], None] | None = None) -> None:
        self._stream, self._on_failure = stream, on_failure
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        with self._watching():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._watching():
            self._stream.flush()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            first, self.failed = self.failed is None, error
            if self._on_failure is None:
                raise
            _discard(self._stream)
            if first:
                self._on_failure(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def ending_quietly(prog: str, command: Callable[[], int]) -> int:
    """Run a command that only prints, and return its exit status.

    EXIT_CLOSED if stdout was closed; EXIT_FULL, with a line on stderr, if it could not be written.
    """
    with _watched_streams() as watched:
        try:
            status = command()
            watched.flush()
            return status
        except OSError:
            if watched.failed is None:
                raise
            _discard(watched)
        if watched.failed.errno == errno.EPIPE:
            return EXIT_CLOSED
        why = watched.failed.strerror
        print(f"{prog}: error: the output cannot be written ({why})", file=sys.stderr)
        return EXIT_FULL


def going_on(prog: str, command: Callable[[], int]) -> int:
    """Run a command even if its output cannot be written, and return its exit status.

    Lost output is reported once, by a line on stderr.
    """

    def lost(error: OSError) -> None:
        why = f"the output cannot be written ({error.strerror}); {prog} goes on without it"
        print(f"{prog}: {why}", file=sys.stderr, flush=True)

    with _watched_streams(lost) as watched:
        status = command()
        watched.flush()
        return status


@contextlib.contextmanager
def _watched_streams(on_failure: Callable[[OSError], None] | None = None) -> Iterator[_Watched]:
    """Watch sys.stdout, and ignore errors of sys.stderr, for the duration of the context."""
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    out, err = _Watched(before[0], on_failure), _Watched(before[1], lambda _: None)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        err.flush()
        sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    """Open closed standard descriptors: a file that takes the number of one would receive what
    libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:  # as Python sets it for a closed descriptor
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: SIM115


def _discard(stream: Any) -> None:
    """Discard buffered output, on which the interpreter would fail at exit."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
