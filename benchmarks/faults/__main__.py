"""`python -m benchmarks.faults kills|inject --out DIR ...` and `report DIR`.

See kills.py, inject.py and report.py.
"""

from __future__ import annotations

import sys

import tyro

from benchmarks.faults import inject, kills, report


def run(arguments: list[str]) -> int:
    """Run one of them."""
    own, extra = (
        (arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :])
        if "--" in arguments
        else (arguments, [])
    )
    if own[:1] == ["kills"]:
        return kills.main(tyro.cli(kills.KillOptions, args=own[1:]), extra)
    if own[:1] == ["inject"]:
        return inject.main(tyro.cli(inject.InjectOptions, args=own[1:]))
    if own[:1] == ["report"]:
        return report.main(tyro.cli(report.ReportOptions, args=own[1:]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
