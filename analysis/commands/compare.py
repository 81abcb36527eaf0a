"""`python -m analysis.commands.compare RESULTS A B`, that is `safedreamer compare`.

Is B different from A, and how many seeds would tell.

A and B are methods (with a variant: "osrp [half size]") or, with `--by tag`, tags: did a change of
the code alter results?
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands.outcome import Parser, status_of
from analysis.read.labels import task_label
from benchmarks.runs.ranges import option

if TYPE_CHECKING:
    import pandas as pd

SHOWN_SEEDS = (3, 5, 10, 20, 50)


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="safedreamer compare",
        description="A paired comparison of two methods, or of two tags.",
    )
    p.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS", help="folders of runs, or Parquet files"
    )
    p.add_argument("a", metavar="A", help="method or tag")
    p.add_argument("b", metavar="B", help="method or tag that A is taken from")
    p.add_argument(
        "--by",
        choices=("method", "tag"),
        default="method",
        help="what A and B are (default: method)",
    )
    p.add_argument(
        "--metric",
        nargs="+",
        default=["return", "cost"],
        help="columns of the scores (default: return cost)",
    )
    p.add_argument(
        "--last",
        type=option("last"),
        default=10,
        metavar="K",
        help="evaluation episodes per run in final values (default: 10)",
    )
    p.add_argument(
        "--power",
        type=option("power", float),
        default=0.8,
        help="probability with which planned seeds shall tell them apart (default: 0.8)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when the comparison was made, 2 when the input does not allow it."""
    args = parser().parse_args(argv)
    return status_of(lambda: _compare(args), shows=True)


def _compare(args: argparse.Namespace) -> str:
    from analysis.read.load import load
    from analysis.statistics import metrics, paired  # here: --help need not wait for pandas
    from analysis.statistics.aggregates import metric_named

    scores = metrics.scores(load(args.results), args.last)
    parts = []
    for name in args.metric:
        about = metric_named(name)
        table = paired.paired(scores, name, args.a, args.b, args.by)
        parts.append(f"## {about.label}: {args.b} - {args.a}\n\n{paired_markdown(table)}")
        if args.by == "method":
            parts.append(_plan(scores, name, args))
    return "\n".join(parts)


def paired_markdown(table: pd.DataFrame) -> str:
    """The table of `analysis.statistics.paired.paired` for people."""
    from analysis.tables import formats

    head = ("Method", "Task", "Pairs", "A", "B", "B - A", "p", "corrected", "Different")
    rows = []
    for r in table.itertuples():
        shown = formats.interval(r.difference, r.low, r.high)
        p, corrected = formats.number(r.p, 4), formats.number(r.p_corrected, 4)
        task = task_label(r.task, r.obs)
        verdict = "yes" if r.changed else formats.NONE if corrected == formats.NONE else "not shown"
        rows.append(
            [
                r.method,
                task,
                r.pairs,
                formats.number(r.mean_a, 2),
                formats.number(r.mean_b, 2),
                shown,
                p,
                corrected,
                verdict,
            ]
        )
    return formats.markdown(head, rows) + (
        "\n"
        "Pairs share task and seed. Per task: paired t-test, corrected by Holm; all tasks: "
        "permutation test of the mean difference, whose p is at least 0.0001. Below three "
        "pairs nothing is tested. “Not shown” is no proof that they are equal.\n"
    )


def _plan(scores: pd.DataFrame, name: str, args: argparse.Namespace) -> str:
    from analysis.statistics import seeds
    from analysis.tables import formats

    try:
        plan = seeds.seeds_needed(scores, name, args.a, args.b, args.power)
    except ValueError as error:
        return f"No plan of seeds: {error}\n"
    table = plan.table[plan.table["seeds"].isin({*SHOWN_SEEDS, plan.now, plan.needed})]
    rows = [
        [
            f"{r.seeds:g}",
            *(f"{width:.3g}" for width in (r.width_a, r.width_b, r.width_difference)),
            f"{r.power:.0%}",
        ]
        for r in table.itertuples()
    ]
    head = ("Seeds", "Width of A's interval", "of B's", "of B - A", "Told apart")
    return f"{plan.summary}.\n\n{formats.markdown(head, rows)}"


if __name__ == "__main__":
    sys.exit(main())
