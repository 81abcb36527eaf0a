"""Expected errors, which commands print in one line without a traceback.

See benchmarks.process.exits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class BadInput(ValueError):
    """A user error, printed in one line without a traceback."""


class RunFailed(RuntimeError):
    """A failure of a run, printed in one line without a traceback."""


@contextlib.contextmanager
def as_bad_input(
    where: str = "", kinds: tuple[type[Exception], ...] = (ValueError,)
) -> Iterator[None]:
    """Turn exceptions of these kinds into BadInput, preceded by `where`, such as FILE:LINE."""
    try:
        yield
    except kinds as error:
        raise BadInput(f"{where}: {error}" if where else str(error)) from error
