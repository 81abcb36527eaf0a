"""How the commands of this package end.

What they report, or one line that says why they could not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def status_of(command: Callable[[], str]) -> int:
    """Print what a command reports.

    Exit status 0, or 2 after one line on stderr where the input does not allow it.
    """
    try:
        print(command())
    except (FileNotFoundError, ValueError) as error:
        print(f"safedreamer: error: {error}", file=sys.stderr)
        return 2
    return 0
