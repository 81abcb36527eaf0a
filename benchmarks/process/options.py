"""Options of a command line, whichever library parses them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.runs.errors import BadInput

HELP = ("-h", "--help", "--help-all")


def check_once(args: Sequence[str], repeated: Sequence[str] = ()) -> None:
    """Raise BadInput for an option given twice in any spelling, except those in `repeated`.

    Otherwise the last one would silently win.
    """
    seen: dict[str, str] = {}
    for argument in args:
        if argument == "--":
            return
        if re.match(r"--[A-Za-z]", argument):
            spelled = argument.split("=", 1)[0]
            if spelled in repeated:
                continue
            name = spelled.replace("_", "-").removeprefix("--").removeprefix("no-")
            if name in seen:
                raise BadInput(
                    f"{spelled} is given twice"
                    + (f", also as {seen[name]}" if seen[name] != spelled else "")
                )
            seen[name] = spelled
