"""`safedreamer plot`, `tables`, `compare`, `figures`, `report`: commands of the analysis, each in a
process of its own.

Analysis knows records and nothing else of the suite, and the suite does not import it: files are
all that passes between them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

COMMANDS = {
    "plot": "curves and tables from run folders",
    "tables": "metrics and tables of results, beside published numbers",
    "compare": "whether two methods or tags differ, and how many seeds would tell",
    "figures": "every figure of results; with --paper the SafeDreamer paper's",
    "report": "one HTML page of results, readable offline",
}


def run(command: str, args: Sequence[str]) -> int:
    """Run a command of the analysis with these arguments and return its exit status.

    0, or 2 when the input does not allow it.
    """
    return subprocess.run(
        [sys.executable, "-m", "analysis", command, *args], check=False
    ).returncode
