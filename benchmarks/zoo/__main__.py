"""`python -m benchmarks.zoo`: lists the zoo; `add RUN...` publishes policies of finished runs,
`remove NAME...` takes some out again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.process.exits import explained
from benchmarks.runs.errors import BadInput

PROG = "python -m benchmarks.zoo"
USAGE = f"usage: {PROG} [list | add RUN_FOLDER... | remove NAME...]"


def main(args: Sequence[str]) -> int:
    """Run the subcommand in the first argument; returns 0, or 2 for bad input."""

    def command() -> int:
        what, given = (args[0], args[1:]) if args else ("list", ())
        if what in ("-h", "--help"):
            print(USAGE)
        elif what == "list" and not given:
            from benchmarks.zoo.entry import ROOT, names

            print("\n".join(names()) or f"the zoo ({ROOT}) is empty")
        elif what == "add" and given:
            from benchmarks.zoo.adding import add

            for run in given:
                entry = add(Path(run))
                print(f"zoo:{entry.name}: {entry.folder}", flush=True)
        elif what == "remove" and given:
            from benchmarks.zoo.adding import remove

            for name in given:
                remove(name)
        else:
            raise BadInput(USAGE)
        return 0

    return explained(PROG, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
