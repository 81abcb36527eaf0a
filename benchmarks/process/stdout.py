"""Commands whose output goes nowhere, because its reader is gone (`| head -1`) or its disk is full,
end quietly.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable
from typing import Any

EXIT_CLOSED = 141  # what shells report for SIGPIPE
EXIT_FULL = 1


class _Watched:
    """A stream that remembers that it failed: an OSError alone does not say which file it is of."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failed: OSError | None = None

    def write(self, text: str) -> int:
        with self._watching():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._watching():
            self._stream.flush()

    @contextlib.contextmanager
    def _watching(self) -> Any:
        try:
            yield
        except OSError as error:
            self.failed = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def ending_quietly(prog: str, command: Callable[[], int]) -> int:
    """The command's exit status.

    EXIT_CLOSED where stdout was closed, EXIT_FULL after a line on stderr where it could not be
    written.
    """
    watched: Any = _Watched(sys.stdout)
    before, sys.stdout = sys.stdout, watched
    try:
        status = command()
        watched.flush()
        return status
    except OSError:
        if watched.failed is None:
            raise
    finally:
        sys.stdout = before
    _discard(before)
    if watched.failed.errno == errno.EPIPE:
        return EXIT_CLOSED
    print(
        f"{prog}: error: the output cannot be written ({watched.failed.strerror})", file=sys.stderr
    )
    return EXIT_FULL


def _discard(stream: Any) -> None:
    """Let what is still buffered go nowhere: the interpreter would fail on it when it ends."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
