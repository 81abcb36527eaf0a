"""Recordings of another implementation beside our seeds, as a table."""

from __future__ import annotations

import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.tables.formats import NONE, markdown, number, plus_minus

HEAD = (
    "Task", "Recording", "Seed", "Simulator steps", "Metric", "Theirs", "Ours", "Inside"
)  # fmt: skip


def agreement_markdown(table: pd.DataFrame) -> str:
    """The frame of `analysis.statistics.agreement.agreement` as Markdown."""
    rows = [
        [
            task_label(r.task, r.obs),
            method_label(r.method),
            NONE if pd.isna(r.seed) else f"{r.seed:.0f}",
            f"{r.first:,.0f} to {r.last:,.0f}",
            r.metric,
            number(r.theirs, 2),
            plus_minus(r.ours, r.half),
            NONE if pd.isna(r.within) else "yes" if r.within else "no",
        ]
        for r in table.itertuples()
    ]
    known = table["within"].dropna()
    told = (
        f"{int(known.sum())} of {len(known)} lie inside; of as many that agree, "
        f"{0.05 * len(known):.1f} would lie outside by chance."
        if len(known)
        else "Fewer than three runs of ours are done: nothing can be said yet."
    )
    note = (
        "Mean return and cost of the training episodes in that part. Ours: mean over seeds ± half "
        f"the 95 % prediction interval of one further run. {told}\n"
    )
    return markdown(HEAD, rows, table) + "\n" + note
