"""`python -m benchmarks.perf [--suite SUITE] [--repeats 5] [--out results/perf]`.

Timings as a table and as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, Literal

from benchmarks.cli.common import program
from benchmarks.perf.cases import SUITES, Case
from benchmarks.perf.flops import matmul_flops
from benchmarks.perf.timing import matmul_peak, measure
from benchmarks.process.allocator import keep_memory
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import provenance

PROG = "python -m benchmarks.perf"


@dataclasses.dataclass(frozen=True)
class PerfOptions:
    """Time planned actions and updates.

    Medians, and the share of the machine's matmul peak they reach.
    """

    suite: Literal["release", "convolution", "baselines"] = "release"
    """Which cases: the release's presets, both forms of the convolutions, or updates of LAMBDA and
    Safe SLAC.
    """
    repeats: int = 5
    """Timed calls per case, after one that compiles."""
    only: str = ""
    """Run only cases whose name contains this text."""
    out: Path | None = None
    """Folder for SUITE.json; printed only if not given."""


def run_case(case: Case, repeats: int) -> dict[str, Any]:
    """Timing, FLOPs and share of the peak.

    The peak is measured right before, so that both sides see the same machine.
    """
    function, args, call = case.prepare()
    flops = matmul_flops(function, *args)
    peak = matmul_peak(case.dtype)
    timing = measure(call, repeats)
    row = dataclasses.asdict(case) | timing._asdict()
    row |= {
        "gflop": flops / 1e9,
        "peak_gflops": peak / 1e9,
        "share_of_peak": flops / timing.median / peak,
    }
    if case.release_seconds:
        row["ratio_to_release"] = timing.median / case.release_seconds
    return row


def main(options: PerfOptions) -> int:
    """Print one line per case; write JSON where asked. Returns 2 when no case is left."""
    cases = [case for case in SUITES[options.suite]() if options.only in case.name]
    if not cases:
        print(f"no case of suite {options.suite} contains {options.only!r}", file=sys.stderr)
        return 2
    if options.out:
        check_folder(options.out)
    print(
        f"{'case':44} {'median s':>9} {'min':>8} {'max':>8} {'GFLOP':>8} {'peak GF/s':>9} "
        f"{'share':>6} {'vs release':>10}"
    )
    rows = []
    for case in cases:
        row = run_case(case, options.repeats)
        rows.append(row)
        ratio = f"{row['ratio_to_release']:.2f}x" if "ratio_to_release" in row else "-"
        print(
            f"{case.name:44} {row['median']:9.4f} {row['low']:8.4f} {row['high']:8.4f} "
            f"{row['gflop']:8.1f} {row['peak_gflops']:9.0f} {row['share_of_peak']:6.1%} "
            f"{ratio:>10}",
            flush=True,
        )
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        command = f"{PROG} " + " ".join(sys.argv[1:])
        report = {"command": command, "rows": rows, **provenance()}
        (options.out / f"{options.suite}.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    keep_memory()  # as the command line does before it trains
    sys.exit(program(PerfOptions, main, PROG, __doc__))
