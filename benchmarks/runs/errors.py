"""Expected errors, which commands print in one line without a traceback.

See benchmarks.process.exits.
"""

from __future__ import annotations


class BadInput(ValueError):
    """A user error, printed in one line without a traceback."""


class RunFailed(RuntimeError):
    """A failure of a run, printed in one line without a traceback."""
