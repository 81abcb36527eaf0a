"""`safedreamer suites`: the built-in suites, one per line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.cli.common import parse


@dataclasses.dataclass(frozen=True)
class SuitesArgs:
    """Nothing to choose."""


def main(args: Sequence[str]) -> int:
    """Print name and purpose; returns 0."""
    parse(
        SuitesArgs,
        args,
        "safedreamer suites",
        "List the built-in suites; a YAML file of your own is one too.",
    )
    from benchmarks.suites.reading import builtin

    found = builtin()
    width = max(map(len, found))
    for name, about in found.items():
        print(f"{name:<{width}}  {about}")
    return 0
