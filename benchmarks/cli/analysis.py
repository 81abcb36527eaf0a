"""`safedreamer plot`, `tables`, `compare`, `figures`, `report`: commands of the analysis, each in a
separate process.

The analysis depends only on records, and the suite does not import it: they share only files.
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
    """Run an analysis command; returns its exit status, which is 2 for unusable input."""
    return subprocess.run(
        [sys.executable, "-m", "analysis", command, *args], check=False
    ).returncode
