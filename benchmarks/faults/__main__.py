"""`python -m benchmarks.faults kills|inject --out DIR ...` and `report DIR`.

See kills.py, inject.py and report.py.
"""

from __future__ import annotations

import sys

from benchmarks.cli.common import program
from benchmarks.faults import inject, kills, report

PROG = "python -m benchmarks.faults"


def run(arguments: list[str]) -> int:
    """Run the command in the first argument."""
    own, extra = (
        (arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :])
        if "--" in arguments
        else (arguments, [])
    )
    if own[:1] == ["kills"]:
        return program(
            kills.KillOptions,
            lambda chosen: kills.main(chosen, extra),
            f"{PROG} kills",
            "",
            own[1:],
        )
    if own[:1] == ["inject"]:
        return program(inject.InjectOptions, inject.main, f"{PROG} inject", "", own[1:])
    if own[:1] == ["report"]:
        return program(report.ReportOptions, report.main, f"{PROG} report", "", own[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
