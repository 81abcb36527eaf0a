"""`python -m benchmarks.perf [--suite SUITE] [--against CHECKOUT] [--out results/perf]`.

Time cases, each in its own process, and report a table and JSON.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.cli.common import program
from benchmarks.perf.cases import SUITES, Case, PerfOptions
from benchmarks.perf.children import check_checkout, measure_case
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import git_state, write_report

PROG = "python -m benchmarks.perf"


def report_case(case: Case, options: PerfOptions) -> dict[str, Any]:
    """Row of a case's median round, with the seconds of every round."""
    rounds = [measure_round(case, options) for _ in range(options.rounds)]
    compared = "median" if options.against is None else "ratio_to_against"
    row = sorted(rounds, key=lambda row: row[compared])[(len(rounds) - 1) // 2]
    if options.rounds > 1:
        row["rounds"] = [
            {"seconds": one["median"]}
            | ({"against": one["against"]["median"]} if "against" in one else {})
            for one in rounds
        ]
    return row


def measure_round(case: Case, options: PerfOptions) -> dict[str, Any]:
    """The row of a case: its timing, peak memory, and ratios to the release and another checkout.

    The release was timed on another machine. The comparable quantity is time times the machine's
    peak, i.e. GFLOP divided by the share of the peak, including work that only one side does.
    """
    row = measure_case(options.suite, case.name, options.repeats)
    if case.release is not None:
        row["ratio_to_release"] = (
            row["gflop"] / row["share_of_peak"] * case.release.share / case.release.gflop
        )
    if options.against is not None:
        theirs = measure_case(options.suite, case.name, options.repeats, options.against.resolve())
        kept = ("median", "low", "high", "peak_gflops", "peak_bytes")
        row["against"] = {name: theirs[name] for name in kept}
        row["ratio_to_against"] = row["median"] / theirs["median"]
    return row


def line(row: dict[str, Any]) -> str:
    """The row as text."""
    words = [
        f"{row['name']:44} {row['median']:9.4f} {row['low']:8.4f} {row['high']:8.4f} "
        f"{row['peak_bytes'] / 1e9:7.2f} {row['gflop']:8.1f} {row['peak_gflops']:9.0f} "
        f"{row['share_of_peak']:6.1%}",
        f"{row['ratio_to_release']:9.2f}x" if "ratio_to_release" in row else f"{'-':>10}",
    ]
    if "against" in row:
        other = row["against"]
        words.append(
            f"{other['median']:9.4f} {other['peak_bytes'] / 1e9:7.2f} "
            f"{row['ratio_to_against']:6.2f}x"
        )
    return " ".join(words)


def main(options: PerfOptions) -> int:
    """Print one line per case and write JSON on request. Returns 2 if no case is selected."""
    cases = [case for case in SUITES[options.suite]() if options.only in case.name]
    if not cases:
        print(f"no case of suite {options.suite} contains {options.only!r}", file=sys.stderr)
        return 2
    if options.out:
        check_folder(options.out)
    if options.against:
        check_checkout(options.against)
    print(
        f"{'case':44} {'median s':>9} {'min':>8} {'max':>8} {'peak GB':>7} {'GFLOP':>8} "
        f"{'peak GF/s':>9} {'share':>6} {'vs release':>10}"
        + (f" {'against s':>9} {'GB':>7} {'ratio':>7}" if options.against else "")
    )
    rows = []
    for case in cases:
        rows.append(report_case(case, options))
        print(line(rows[-1]), flush=True)
    if options.out:
        report: dict[str, Any] = {"rows": rows}
        if options.against:
            report["against"] = git_state(options.against)
        write_report(options.out / f"{options.suite}.json", report)
    return 0


if __name__ == "__main__":
    sys.exit(program(PerfOptions, main, PROG, __doc__))
