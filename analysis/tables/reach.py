"""Simulator steps to a model-free method's return within the limit, as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.statistics.reach import SHARE
from analysis.tables.cells import Columns, listed
from analysis.tables.formats import number, several_tasks


def _steps(row: dict[str, Any]) -> str:
    if not np.isfinite(row["steps"]):
        return f"> {row['budget']:,.0f}"
    return f"{'≤ ' if row['once'] else ''}{row['steps']:,.0f}"


COLUMNS: Columns = {
    "Task": lambda r: task_label(r["task"], r["obs"]),
    "Cost limit": lambda r: number(r["cost_limit"], 6),
    "Return": lambda r: number(r["target"], 1),
    "Method": lambda r: method_label(r["method"]),
    "Steps (median)": _steps,
    "Seeds": lambda r: f"{r['reached']} of {r['seeds']}",
    "Times fewer": lambda r: number(r["factor"], 1),
}


def reach_markdown(table: pd.DataFrame) -> str:
    """The frame of `analysis.statistics.reach.reach` as Markdown; "" if it is empty."""
    if table.empty:
        return ""
    several = several_tasks(table)
    names = {
        method_label(r.best) + (f" on {task_label(r.task, r.obs)}" if several else "")
        for r in table.itertuples()
    }
    best = ", ".join(sorted(names))
    note = (
        f"Simulator steps until an evaluation reaches {100 * SHARE:.0f} % of the final return of "
        f"the best model-free method within the limit (here {best}) at a mean cost within the "
        "limit; medians over seeds. Seeds: how many reach it. “>”: at least half of the seeds do "
        "not; “≤”: runs were evaluated only at their end. Times fewer: the fewest steps of a "
        "model-free method that was evaluated during training, divided by these. Evaluations are "
        "as far apart as the runs' settings say, and of few episodes.\n"
    )
    return listed(table, COLUMNS) + "\n" + note
