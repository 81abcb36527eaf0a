"""Recordings of another implementation beside our seeds, as a table."""

from __future__ import annotations

import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.tables.cells import Columns, listed
from analysis.tables.formats import NONE, number, plus_minus

COLUMNS: Columns = {
    "Task": lambda r: task_label(r["task"], r["obs"]),
    "Recording": lambda r: method_label(r["method"]),
    "Seed": lambda r: number(r["seed"], 0),
    "Simulator steps": lambda r: f"{r['first']:,.0f} to {r['last']:,.0f}",
    "Metric": lambda r: r["metric"],
    "Theirs": lambda r: number(r["theirs"], 2),
    "Ours": lambda r: plus_minus(r["ours"], r["half"]),
    "Inside": lambda r: NONE if pd.isna(r["within"]) else "yes" if r["within"] else "no",
}


def agreement_markdown(table: pd.DataFrame) -> str:
    """The frame of `analysis.statistics.agreement.agreement` as Markdown."""
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
    return listed(table, COLUMNS, table) + "\n" + note
