"""Simulator steps to a model-free method's return within the limit, as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.statistics.reach import SHARE
from analysis.tables.formats import NONE, markdown, number, several_tasks

HEAD = ("Task", "Cost limit", "Return", "Method", "Steps (median)", "Seeds", "Times fewer")


def reach_markdown(table: pd.DataFrame) -> str:
    """The frame of `analysis.statistics.reach.reach` as Markdown."""
    rows = [
        [
            task_label(r["task"], r["obs"]),
            number(r["cost_limit"], 6),
            number(r["target"], 1),
            method_label(r["method"]),
            _steps(r["steps"], r["once"], r["budget"]),
            f"{r['reached']} of {r['seeds']}",
            NONE if pd.isna(r["factor"]) else number(r["factor"], 1),
        ]
        for r in table.to_dict("records")
    ]
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
    return markdown(HEAD, rows) + "\n" + note


def _steps(steps: float, once: bool, budget: float) -> str:
    if not np.isfinite(steps):
        return f"> {budget:,.0f}"
    return f"{'≤ ' if once else ''}{steps:,.0f}"
