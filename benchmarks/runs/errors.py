"""Errors that one line can explain.

A command prints them without a traceback (benchmarks.process.exits).
"""

from __future__ import annotations


class BadInput(ValueError):
    """A mistake of the user's that one line can explain.

    The command line prints it without a traceback.
    """


class RunFailed(RuntimeError):
    """A run ended because of what happened in it.

    The command line prints it without a traceback.
    """
