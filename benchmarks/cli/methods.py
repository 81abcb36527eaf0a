"""`safedreamer methods`: the methods, one per line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.cli.common import parse


@dataclasses.dataclass(frozen=True)
class MethodsArgs:
    """Nothing to choose."""


def main(args: Sequence[str]) -> int:
    """Print name, action repeat of the release and what the method is; returns 0."""
    parse(MethodsArgs, args, "safedreamer methods", "List the methods that train accepts.")
    from benchmarks.methods import METHODS

    for method in METHODS.values():
        print(f"{method.name:<12} action repeat {method.action_repeat}  {method.summary}")
    return 0
