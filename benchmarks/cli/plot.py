"""`safedreamer plot`: curves and tables from run folders, by `python -m analysis` in a process of
its own.

Analysis knows records and nothing else of the suite, and the suite does not import it: files are
all that passes between them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence


def main(args: Sequence[str]) -> int:
    """Run the analysis with these arguments and return its exit status.

    0, or 2 when the input does not allow a report.
    """
    return subprocess.run([sys.executable, "-m", "analysis", *args], check=False).returncode
