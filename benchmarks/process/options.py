"""Options of a command line, whichever library parses them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

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
            section, dot, field = spelled.removeprefix("--").replace("_", "-").rpartition(".")
            name = f"{section}{dot}{field.removeprefix('no-')}"
            if name in seen:
                raise BadInput(
                    f"{spelled} is given twice"
                    + (f", also as {seen[name]}" if seen[name] != spelled else "")
                )
            seen[name] = spelled


def option(name: str, value: Any) -> list[str]:
    """A setting as words of the command line."""
    name = name.replace("_", "-")
    if isinstance(value, bool):
        section, dot, field = name.rpartition(".")
        return [f"--{section}{dot}{'' if value else 'no-'}{field}"]
    if isinstance(value, list | tuple):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]  # one word, since a value may begin with a dash
