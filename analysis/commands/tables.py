"""`tables`: metrics and tables of results, as files.

`comparison` has our methods task by task beside published numbers, `aggregates` their interquartile
means over tasks, both as CSV, Markdown and LaTeX. `scores.csv` has a row of metrics per run,
`references.csv` the constants of normalised metrics, `runs.md` all runs and which are missing.
"""

from __future__ import annotations

import argparse

import pandas as pd

from analysis.commands import inputs
from analysis.statistics import metrics, references
from analysis.statistics.aggregates import aggregate
from analysis.tables import comparison
from analysis.tables.formats import csv_text
from analysis.tables.runs import gaps_markdown, runs_markdown
from benchmarks.runs.places import check_folder


def run(args: argparse.Namespace) -> str:
    """Write the tables and return the one of aggregates as Markdown.

    Raises ValueError where no run has evaluations.
    """
    check_folder(args.out)
    results = inputs.read(args)
    constants = references.references(results, args.last)
    at = inputs.step(args.at, results)
    scores = metrics.scores(results, args.last, at, constants)
    if not scores["return"].notna().any():
        raise ValueError(
            "no run has evaluations to make tables of; `safedreamer status` shows where runs stand"
        )
    methods = frozenset() if args.no_published else comparison.PUBLISHED_METHODS
    beside = comparison.comparison(scores, methods)
    aggregates = [(name, aggregate(scores, name, args.reps)) for name in args.metrics]
    over_tasks = comparison.aggregates_table(aggregates)
    if at is not None:
        notes = [*over_tasks.notes, f"Judged at {at:,} simulator steps."]
        over_tasks = over_tasks._replace(notes=notes)
    long = pd.concat([frame.assign(metric=name) for name, frame in aggregates], ignore_index=True)
    files = {
        "scores.csv": csv_text(scores),
        "references.csv": csv_text(constants),
        "runs.md": runs_markdown(results) + gaps_markdown(results),
        "aggregates.csv": csv_text(long),
        "aggregates.md": over_tasks.markdown(),
        "aggregates.tex": over_tasks.latex(),
        **comparison.files("comparison", beside),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (args.out / name).write_text(text, encoding="utf-8")
    return f"{files['aggregates.md']}\nwrote {', '.join(files)} to {args.out}"
