"""`python -m analysis.commands.tables RESULTS... --out DIR`, that is `safedreamer tables`.

Metrics and tables of results, as files.

`comparison` has our methods task by task beside published numbers, `aggregates` their interquartile
means over tasks, both as CSV, Markdown and LaTeX. `scores.csv` has a row of metrics per run,
`references.csv` what normalised metrics divide by, `runs.md` every run and what is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.commands.outcome import Parser, status_of
from benchmarks.runs.places import check_folder, user_path
from benchmarks.runs.ranges import check_number, option

AGGREGATED = (
    "normalised_return",
    "normalised_cost",
    "normalised_cost_rate",
    "cost_over_limit",
    "feasible",
)
EQUAL = "equal"


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="safedreamer tables", description="Tables of results as CSV, Markdown and LaTeX."
    )
    p.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULTS",
        help="folders of runs, also of other programs; Parquet files",
    )
    p.add_argument(
        "--out", type=user_path, required=True, metavar="DIR", help="folder for the tables"
    )
    p.add_argument(
        "--last",
        type=option("last"),
        default=10,
        metavar="K",
        help="evaluation episodes per run in final values (default: 10)",
    )
    p.add_argument(
        "--at",
        metavar="STEP",
        help=f"judge runs at this simulator step; '{EQUAL}': the last that all have reached",
    )
    p.add_argument(
        "--cost-limit",
        type=option("cost_limit", float),
        metavar="COST",
        help="per episode (default: the limit each run was given)",
    )
    p.add_argument(
        "--metrics",
        nargs="+",
        default=list(AGGREGATED),
        metavar="NAME",
        help=f"aggregated (default: {' '.join(AGGREGATED)})",
    )
    p.add_argument(
        "--reps", type=option("reps"), default=2000, help="bootstrap resamples (default: 2000)"
    )
    p.add_argument(
        "--no-published", action="store_true", help="without published numbers beside ours"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when the tables were written, 2 when the input does not allow it."""
    args = parser().parse_args(argv)
    return status_of(lambda: _write(args))


def step(text: str | None, equal: int) -> int | None:
    """The simulator step that `--at` asks for.

    Raises ValueError for what is neither a number nor EQUAL.
    """
    if text is None or text == EQUAL:
        return None if text is None else equal
    try:
        check_number("at", float(text))
        return int(float(text))
    except (ValueError, OverflowError):
        raise ValueError(f"--at {text}: give a number of simulator steps or '{EQUAL}'") from None


def _write(args: argparse.Namespace) -> str:
    import pandas as pd  # here, and what needs it: --help need not wait

    from analysis.read.load import load, set_cost_limit
    from analysis.statistics import metrics, references
    from analysis.statistics.aggregates import aggregate
    from analysis.tables import comparison, formats
    from analysis.tables import final as tables

    check_folder(args.out)
    results = load(args.results)
    if args.cost_limit is not None:
        results = set_cost_limit(results, args.cost_limit)
    constants = references.references(results, args.last)
    at = step(args.at, metrics.equal_progress(results))
    scores = metrics.scores(results, args.last, at, constants)
    if not scores["return"].notna().any():
        raise ValueError(
            "no run has evaluations to make tables of; `safedreamer status` shows where runs stand"
        )
    beside = comparison.comparison(
        scores, frozenset() if args.no_published else comparison.PUBLISHED_METHODS
    )
    aggregates = [(name, aggregate(scores, name, args.reps)) for name in args.metrics]
    head, rows, notes = comparison.aggregates_rows(aggregates)
    if at is not None:
        notes.append(f"Judged at {at:,} simulator steps.")
    long = pd.concat([frame.assign(metric=name) for name, frame in aggregates], ignore_index=True)
    files = {
        "scores.csv": formats.csv_text(scores),
        "references.csv": formats.csv_text(constants),
        "runs.md": tables.runs_markdown(results) + tables.gaps_markdown(results),
        "comparison.csv": formats.csv_text(beside),
        "comparison.md": comparison.comparison_markdown(beside),
        "comparison.tex": comparison.comparison_latex(beside),
        "aggregates.csv": formats.csv_text(long),
        "aggregates.md": formats.markdown(head, rows) + "\n" + "\n".join(notes) + "\n",
        "aggregates.tex": formats.latex(head, rows, notes),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (args.out / name).write_text(text, encoding="utf-8")
    return f"{files['aggregates.md']}\nwrote {', '.join(files)} to {args.out}"


if __name__ == "__main__":
    sys.exit(main())
