"""Exit statuses of commands for expected errors; any other error keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.plain_text import printable

FAILED, BAD_INPUT = 1, 2


def explained(prog: str, command: Callable[[], int]) -> int:
    """Run the command and return its status: BAD_INPUT for a user error, FAILED for a run that
    failed, each with a line on stderr.
    """
    try:
        return command()
    except BadInput as error:
        print(printable(f"{prog}: error: {error}"), file=sys.stderr)
        return BAD_INPUT
    except RunFailed as error:
        print(printable(f"{prog}: {error}"), file=sys.stderr)
        return FAILED
