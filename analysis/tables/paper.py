"""Counterparts of the tables of SafeDreamer (arXiv:2307.07176), and the contents of its figures."""

from __future__ import annotations

import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.statistics.aggregates import plain
from analysis.statistics.paper import CURVES, VECTOR, VISION, fills
from analysis.tables.comparison import comparison
from analysis.tables.formats import NONE, markdown


def tables(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Frames of `comparison` for the tasks of the paper's tables, `vision` and `vector`; tables
    without any run are omitted.
    """
    found = {}
    for name, tasks in (("vision", VISION), ("vector", VECTOR)):
        there = [pair in tasks for pair in zip(scores["task"], scores["obs"])]
        if any(there):
            found[name] = comparison(plain(scores[there]))
    return found


def panels_markdown(listed: pd.DataFrame) -> str:
    """The frame of `analysis.statistics.paper.panels` as Markdown: a row per task, a column per
    method, numbers of seeds in the cells; "–" marks an empty one.
    """
    parts = ["# Panels of the paper's figures\n\nNumbers are seeds with evaluations; – is empty.\n"]
    for figure in CURVES:
        mine = listed[listed["figure"] == figure.name]
        methods = list(dict.fromkeys(mine["method"]))
        rows = []
        for task, obs in figure.tasks:
            row = mine[(mine["task"] == task) & (mine["obs"] == obs)].set_index("method")
            seeds = [f"{row.at[m, 'seeds']} {row.at[m, 'seen']}".strip() for m in methods]
            cells = [cell if row.at[m, "seeds"] else NONE for m, cell in zip(methods, seeds)]
            rows.append([task_label(task, obs), *cells])
        head = ["Task", *map(method_label, methods)]
        parts.append(f"## {figure.title}\n\n{markdown(head, rows)}")
    return "\n".join([*parts, f"## What fills the rest\n\n{fills_markdown(fills(listed))}"])


def fills_markdown(table: pd.DataFrame) -> str:
    """The frame of `analysis.statistics.paper.fills` as Markdown."""
    head = ("Figure", "Complete", "Few seeds", "Empty", "Waiting", "Command")
    rows = [
        [*r[:4], r.waiting or NONE, f"`{r.command}`" if r.command else NONE]
        for r in table.itertuples(index=False)
    ]
    note = "Counted are pairs of panel and method; complete: three seeds or more. Suites "
    note += "train for millions of steps, on GPUs; single runs of OmniSafe's methods need none.\n"
    return markdown(head, rows) + "\n" + note
