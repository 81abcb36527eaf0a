"""`safedreamer report`: one HTML page of results by the analysis, in a process of its own (see
`benchmarks.cli.plot`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence


def main(args: Sequence[str]) -> int:
    """Run the analysis with these arguments and return its exit status.

    0, or 2 when the input does not allow it.
    """
    return subprocess.run(
        [sys.executable, "-m", "analysis.commands.figures", "report", *args], check=False
    ).returncode
