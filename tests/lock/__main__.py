"""`python -m tests.lock COMMIT [--strict]`.

Train every JAX method with that commit and with this checkout, and compare.

A commit's output is cached in .cache/lock, so that the next comparison with it trains only this
checkout.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lock import comparison
from tests.lock.training import (
    KINDS,
    METHODS,
    ROOT,
    Case,
    TrainingFailed,
    cases_of,
    checked_out,
    git,
    settings,
    train,
)

SHOWN = 5  # printed differences per training
Compare = Callable[[Path, Path], list[str]]


def arguments(args: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.lock", description=__doc__)
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="everything but time, bit for bit; else the first update within 1e-4",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=METHODS,
        default=METHODS,
        metavar="NAME",
        help="default: all",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=list(KINDS),
        default=list(KINDS),
        metavar="NAME",
        help="default: both",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="trainings at a time; default: one for each core",
    )
    return parser.parse_args(args)


def main(args: Sequence[str]) -> int:
    """Return 0 if all trainings agree, 1 if not, 2 if there is no such commit."""
    chosen = arguments(args)
    try:
        commit = git("rev-parse", "--verify", f"{chosen.commit}^{{commit}}")
    except subprocess.CalledProcessError:
        print(f"lock: git has no commit {chosen.commit!r}", file=sys.stderr)
        return 2
    compare = comparison.exact if chosen.strict else comparison.first_update
    kept = ROOT / ".cache" / "lock" / settings()
    here = kept / "here"
    shutil.rmtree(here, ignore_errors=True)
    cases = cases_of(chosen.methods, chosen.kinds)
    start, failed = time.monotonic(), 0
    with checked_out(commit) as tree, ThreadPoolExecutor(max(chosen.jobs, 1)) as pool:
        # The second training of a case reuses the compilation cache of the first.
        for case, lines in zip(
            cases, pool.map(lambda case: check(case, tree, kept / commit, here, compare), cases)
        ):
            failed += bool(lines)
            print(
                f"{'differs' if lines else 'same':<8} {case}",
                *lines[:SHOWN],
                sep=("\n    "),
                flush=True,
            )
            if len(lines) > SHOWN:
                print(f"    and {len(lines) - SHOWN} more")
    how = "bit for bit" if chosen.strict else f"first update within {comparison.RELATIVE:g}"
    print(
        f"lock: {len(cases) - failed} of {len(cases)} trainings as in {commit[:7]} ({how}), "
        f"{time.monotonic() - start:.0f} s"
    )
    return 1 if failed else 0


def check(case: Case, tree: Path, before: Path, after: Path, compare: Compare) -> list[str]:
    """Differences between the two trainings of a case, or the error of a failed one."""
    try:
        return compare(train(tree, case, before / str(case)), train(ROOT, case, after / str(case)))
    except TrainingFailed as error:
        return str(error).splitlines()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
