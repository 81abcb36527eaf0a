"""`safedreamer suites`: the built-in suites and what each is for."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.sweep import text


@dataclasses.dataclass(frozen=True)
class SuitesArgs:
    """List the built-in suites; a YAML file of your own is one too."""


def main(args: Sequence[str]) -> int:
    """Print name and purpose; returns 0."""
    parse(SuitesArgs, args, "safedreamer suites")
    from benchmarks.suites.reading import builtin

    found = builtin()
    indent = " " * (max(map(len, found)) + 2)
    width = text.terminal_width() or 10_000
    for name, about in found.items():
        first = f"{name:<{len(indent)}}"
        print(textwrap.fill(about, width, initial_indent=first, subsequent_indent=indent))
    return 0
