"""How the commands of this package end.

What they report, or one line that says why they could not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.process.stdout import ending_quietly
from benchmarks.runs.plain_text import printable


def status_of(command: Callable[[], str]) -> int:
    """Print what a command reports.

    Exit status 0, or 2 after one line on stderr where the input does not allow it.
    """

    def reported() -> int:
        try:
            text = command()
        except (OSError, ValueError) as error:
            if (
                isinstance(error, OSError)
                and not isinstance(error, FileNotFoundError)
                and error.filename is None
            ):
                raise  # of stdout, or a defect
            print(printable(f"safedreamer: error: {error}"), file=sys.stderr)
            return 2
        print(printable(text))
        return 0

    return ending_quietly("safedreamer", reported)
