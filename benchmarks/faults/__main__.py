"""`python -m benchmarks.faults kills|inject --out DIR ...` and `report DIR`.

See kills.py, inject.py and report.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.cli.common import program
from benchmarks.faults import inject, kills, report

PROG = "python -m benchmarks.faults"


def run(arguments: list[str]) -> int:
    """Run the command in the first argument."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    own, extra = arguments[:at], arguments[at + 1 :]
    commands: dict[str, tuple[type, Callable[[Any], int]]] = {
        "kills": (kills.KillOptions, lambda chosen: kills.main(chosen, extra)),
        "inject": (inject.InjectOptions, inject.main),
        "report": (report.ReportOptions, report.main),
    }
    if own and own[0] in commands:
        options, main = commands[own[0]]
        return program(options, main, f"{PROG} {own[0]}", "", own[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
