"""`safedreamer compare`, by `python -m analysis.commands.compare` in a process of its own (see
`benchmarks.cli.plot`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence


def main(args: Sequence[str]) -> int:
    """Run the analysis with these arguments and return its exit status.

    0, or 2 for input that does not allow it.
    """
    return subprocess.run(
        [sys.executable, "-m", "analysis.commands.compare", *args], check=False
    ).returncode
