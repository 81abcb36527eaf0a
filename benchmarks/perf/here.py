"""`python -m benchmarks.perf.here`: time cases one by one in this process; used by `children`."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from benchmarks.cli.common import program
from benchmarks.perf.cases import SUITES, Case, PerfOptions
from benchmarks.perf.flops import matmul_flops
from benchmarks.perf.timing import matmul_peak, measure
from benchmarks.process.allocator import keep_memory


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
    sys.exit(program(PerfOptions, main, "python -m benchmarks.perf.here", __doc__))
