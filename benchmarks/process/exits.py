"""Errors that a line explains, as exit statuses of a command.

Anything else is a defect and keeps its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.runs.plain_text import printable
from benchmarks.runs.spec import BadInput, RunFailed

FAILED, BAD_INPUT = 1, 2


def explained(prog: str, command: Callable[[], int]) -> int:
    """The command's own status, BAD_INPUT for a mistake of the user's, FAILED for a run that
    failed; their line goes to stderr.
    """
    try:
        return command()
    except BadInput as error:
        print(printable(f"{prog}: error: {error}"), file=sys.stderr)
        return BAD_INPUT
    except RunFailed as error:
        print(printable(f"{prog}: {error}"), file=sys.stderr)
        return FAILED


def ending(finished: bool, stopped: bool) -> str:
    """How a run ended, for a person: its steps, or its minutes, are spent, or it was stopped."""
    if finished:
        return "finished"
    return (
        "stopped; the same command continues it"
        if stopped
        else "done (time); a larger --max-minutes continues it;"
    )
