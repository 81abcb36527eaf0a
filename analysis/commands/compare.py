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
from analysis.tables.formats import NONE, interval, markdown, number

SHOWN_SEEDS = (3, 5, 10, 20, 50)
NOTE = (
    "\nPairs share task and seed. Per task: paired t-test, corrected by Holm; all tasks: "
    "permutation test of the mean difference, whose p is at least 0.0001. Below three pairs "
    "nothing is tested. “Not shown” is no proof that they are equal.\n"
)


def run(args: argparse.Namespace) -> str:
    """Return the tests and, for methods, the plan of seeds as Markdown."""
    scores = metrics.scores(inputs.read(args), args.last)
    parts = []
    for name in args.metric:
        about = metric_named(name)
        table = paired.paired(scores, name, args.a, args.b, args.by)
        parts.append(f"## {about.label}: {args.b} - {args.a}\n\n{paired_markdown(table)}")
        if args.by == "method":
            parts.append(_plan(scores, name, args))
    return "\n".join(parts)


def paired_markdown(table: pd.DataFrame) -> str:
    """The table of `analysis.statistics.paired.paired` as Markdown."""
    head = ("Method", "Task", "Pairs", "A", "B", "B - A", "p", "corrected", "Different")
    rows = []
    for r in table.itertuples():
        means = (number(r.mean_a, 2), number(r.mean_b, 2), interval(r.difference, r.low, r.high))
        p, corrected = number(r.p, 4), number(r.p_corrected, 4)
        verdict = "yes" if r.changed else NONE if corrected == NONE else "not shown"
        task = task_label(r.task, r.obs)
        rows.append([r.method, task, r.pairs, *means, p, corrected, verdict])
    return markdown(head, rows) + NOTE


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
