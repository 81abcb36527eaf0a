"""The module search path of this process and its children: the current folder comes last.

A user's own methods and environments are found there, but a file that happens to be called
`random.py` or `numpy.py` shadows nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # of the suite's packages
API = ROOT / "benchmarks" / "api"  # folder of `safedreamer_suite` in a checkout


def search_here_last() -> None:
    """Move the current folder to the end of the search path.

    Child processes started afterwards do not search it first either.
    """
    here = Path.cwd()
    if here != ROOT:
        sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != here] + [
            str(here)
        ]
    sys.path += [str(place) for place in (ROOT, API) if str(place) not in sys.path]
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in given if entry and (Path(entry).resolve() != here or here == ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*kept, str(ROOT), str(API)]))
    os.environ["PYTHONSAFEPATH"] = "1"
