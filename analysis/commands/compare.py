"""`compare`: test whether B differs from A, and plan the number of seeds that would show it.

A and B are methods (with a variant: "osrp [half size]") or, with `--by tag`, tags, to test whether
a change of the code altered results.
"""

from __future__ import annotations

import argparse

import pandas as pd

from analysis.commands import inputs
from analysis.results.labels import task_label
from analysis.statistics import metrics, paired, seeds
from analysis.statistics.aggregates import metric_named
from analysis.tables.cells import Columns, listed
from analysis.tables.formats import NONE, interval, markdown, number

SHOWN_SEEDS = (3, 5, 10, 20, 50)
# of the table of `analysis.statistics.paired.paired`
COLUMNS: Columns = {
    "Method": lambda r: r["method"],
    "Task": lambda r: task_label(r["task"], r["obs"]),
    "Pairs": lambda r: r["pairs"],
    "A": lambda r: number(r["mean_a"], 2),
    "B": lambda r: number(r["mean_b"], 2),
    "B - A": lambda r: interval(r["difference"], r["low"], r["high"]),
    "p": lambda r: number(r["p"], 4),
    "corrected": lambda r: number(r["p_corrected"], 4),
    "Different": lambda r: (
        "yes" if r["changed"] else NONE if pd.isna(r["p_corrected"]) else "not shown"
    ),
}
NOTE = (
    "\nPairs share task and seed. Per task: paired t-test, corrected by Holm; all tasks: "
    "permutation test of the mean difference, whose p is at least 0.0001. Below three pairs "
    "nothing is tested. “Not shown” is no proof that they are equal.\n"
)


def run(args: argparse.Namespace) -> str:
    """Return the tests and, for methods, the plan of seeds as Markdown.

    Raises ValueError if A is B, and for a power that no number of seeds has.
    """
    if args.a == args.b:
        raise ValueError(f"A and B are both {args.a}: give two different {args.by}s")
    if args.power >= 1.0:
        raise ValueError(f"--power {args.power:g}: no number of seeds is certain; give less than 1")
    scores = metrics.scores(inputs.read(args), args.last)
    parts = []
    for name in args.metric:
        about = metric_named(name)
        table = paired.paired(scores, name, args.a, args.b, args.by)
        parts.append(f"## {about.label}: {args.b} - {args.a}\n\n{listed(table, COLUMNS)}{NOTE}")
        if args.by == "method":
            parts.append(_plan(scores, name, args))
    return "\n".join(parts)


def _plan(scores: pd.DataFrame, name: str, args: argparse.Namespace) -> str:
    try:
        plan = seeds.seeds_needed(scores, name, args.a, args.b, args.power)
    except ValueError as error:
        return f"No plan of seeds: {error}\n"
    table = plan.table[plan.table["seeds"].isin({*SHOWN_SEEDS, plan.now, plan.needed})]
    rows = []
    for r in table.itertuples():
        widths = (f"{width:.3g}" for width in (r.width_a, r.width_b, r.width_difference))
        rows.append([f"{r.seeds:g}", *widths, f"{r.power:.0%}"])
    head = ("Seeds", "Width of A's interval", "of B's", "of B - A", "Told apart")
    return f"{plan.summary}.\n\n{markdown(head, rows)}"
