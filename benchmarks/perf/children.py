"""Runs each case in its own process, so that peak memory does not include earlier cases.

That process is `python -m benchmarks.perf.children`. A case may also run from another checkout,
through that checkout's command line.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cli.common import program
from benchmarks.perf.cases import SUITES, Case, PerfOptions
from benchmarks.perf.flops import matmul_flops
from benchmarks.perf.timing import matmul_peak, measure
from benchmarks.process.allocator import keep_memory
from benchmarks.runs.errors import BadInput, RunFailed

HERE = Path(__file__).resolve().parents[2]

# Linux attributes memory held before exec to the process, so the child of a large process would
# report its parent's size. A small process starts the case instead and prints its peak in KiB.
_BETWEEN = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def check_checkout(folder: Path) -> None:
    """Raise BadInput unless the folder is a checkout whose cases can be run."""
    if not (folder / "benchmarks" / "perf" / "__main__.py").is_file():
        raise BadInput(
            f"{folder} is not a checkout of this suite: git worktree add {folder} COMMIT makes one"
        )


def measure_case(suite: str, name: str, repeats: int, checkout: Path = HERE) -> dict[str, Any]:
    """Time a case in its own process; returns its row, with that process's peak resident memory.

    Raises RunFailed if it fails.
    """
    with tempfile.TemporaryDirectory() as out:
        options = ["--suite", suite, "--only", name, "--repeats", str(repeats), "--out", out]
        module = "benchmarks.perf.children" if checkout == HERE else "benchmarks.perf"
        found = subprocess.run(
            [sys.executable, "-S", "-c", _BETWEEN, sys.executable, "-m", module, *options],
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout)},
            stdout=subprocess.PIPE,
        )
        if found.returncode:
            raise RunFailed(f"{name} from {checkout} ended with status {found.returncode}")
        rows = json.loads((Path(out) / f"{suite}.json").read_text())["rows"]
    (row,) = (row for row in rows if row["name"] == name)
    return row | {"peak_bytes": int(found.stdout) * 1024}


def run_case(case: Case, repeats: int) -> dict[str, Any]:
    """Timing, FLOPs and share of the peak.

    The peak is measured immediately before, under the same machine load.
    """
    function, args, call = case.prepare()
    flops = matmul_flops(function, *args)
    peak = matmul_peak(case.dtype)
    timing = measure(call, repeats)
    row = dataclasses.asdict(case) | timing._asdict()
    return row | {
        "gflop": flops / 1e9,
        "peak_gflops": peak / 1e9,
        "share_of_peak": flops / timing.median / peak,
    }


def main(options: PerfOptions) -> int:
    """Write the rows of SUITE.json."""
    assert options.out is not None
    cases = [case for case in SUITES[options.suite]() if options.only in case.name]
    rows = [run_case(case, options.repeats) for case in cases]
    (options.out / f"{options.suite}.json").write_text(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    keep_memory()  # as the command line does before it trains
    sys.exit(program(PerfOptions, main, "python -m benchmarks.perf.children", __doc__))
