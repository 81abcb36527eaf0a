"""`safedreamer methods`: list the methods, with what they are and their papers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.sweep import text

HEADER = ("method", "kind", "repeat", "observations", "resume", "constrains", "paper")
FACTS = (
    *("name", "family", "kind", "summary", "constrains", "paper", "exact_resume"),
    *("observations", "presets", "action_repeat"),
)
NOTE = """
repeat: simulator steps per action in the release. resume: exact says that a
run that was killed and continued is the run that never stopped, on the same
machine and devices. Baselines of OmniSafe need `make omnisafe`; see
docs/concepts/omnisafe.md."""


@dataclasses.dataclass(frozen=True)
class MethodsArgs:
    """List the methods that train accepts."""

    json: bool = False
    """Print JSON, with all facts about each method."""


def main(args: Sequence[str]) -> int:
    """Print a line for each method; returns 0."""
    chosen = parse(MethodsArgs, args, "safedreamer methods")
    from benchmarks.methods import all_methods

    if chosen.json:
        facts = [{name: getattr(method, name) for name in FACTS} for method in all_methods()]
        print(json.dumps(facts, indent=1))
        return 0
    rows = [
        (
            method.name,
            method.kind,
            str(method.action_repeat or "task"),
            "all" if "vision" in method.observations else "no vision",
            "exact" if method.exact_resume else "restarts",
            method.constrains,
            method.paper,
        )
        for method in all_methods()
    ]
    print("\n".join(text.fitted(HEADER, rows, text.terminal_width())))
    print(NOTE)
    return 0
