"""How the commands of this package read their options and end.

What they report, or one line that says why they could not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from benchmarks.process.options import check_once
from benchmarks.process.stdout import ending_quietly, going_on
from benchmarks.runs.plain_text import printable


class Parser(argparse.ArgumentParser):
    """argparse, where a mistake is one line and no option may be given twice or cut short."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **options)

    def parse_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None
    ) -> argparse.Namespace:
        words = list(sys.argv[1:] if args is None else args)
        try:
            check_once(words)
        except ValueError as error:
            self.error(str(error))
        return super().parse_args(words)

    def error(self, message: str) -> NoReturn:
        print(printable(f"safedreamer: error: {message}"), file=sys.stderr)
        raise SystemExit(2)


def status_of(command: Callable[[], str], shows: bool = False) -> int:
    """Print what a command reports.

    Exit status 0, or 2 after one line on stderr where the input does not allow it. One that only
    `shows` something ends where nobody reads it.
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

    return (ending_quietly if shows else going_on)("safedreamer", reported)
