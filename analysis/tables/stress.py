"""Tables of a stress test in Markdown: thresholds, paired differences in cost, levels, prediction
errors, and the transfer matrix.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.results.labels import method_label, method_order, task_label
from analysis.statistics.stress import Stress
from analysis.tables.cells import Columns, listed
from analysis.tables.formats import NONE, interval, markdown, number

LEVELS: Columns = {
    "Method": lambda r: method_label(r["method"]),
    "Task": lambda r: task_label(r["task"], r["obs"]),
    "Perturbation": lambda r: r["perturbation"],
    "Strength": lambda r: f"{r['strength']:g}",
    "Return": lambda r: interval(r["return"], r["return_low"], r["return_high"]),
    "Cost": lambda r: interval(r["cost"], r["cost_low"], r["cost_high"]),
    "Runs": lambda r: r["runs"],
    "Episodes": lambda r: r["episodes"],
}


def threshold_text(row: pd.Series) -> str:
    """The threshold with its interval; `not reached` beyond the largest strength played."""
    if pd.isna(row["threshold"]):
        return "no limit"
    threshold, low, high = (
        f"{value:.3g}" if np.isfinite(value) else "not reached"
        for value in row[["threshold", "low", "high"]]
    )
    if np.isinf(row["threshold"]):
        threshold += f" up to {row['strongest']:g}"
        if np.isinf(row["low"]):
            return threshold
    return f"{threshold} [{low}, {high}]"


def thresholds_markdown(found: Stress) -> str:
    """One row per task and perturbation, one column per method."""
    methods = method_order(found.thresholds["method"])
    units = found.levels.groupby("perturbation")["unit"].first()
    rows = []
    where = ["task", "obs", "perturbation", "cost_limit"]
    for (task, obs, name, limit), here in found.thresholds.groupby(where, sort=False, dropna=False):
        told = {row["method"]: threshold_text(row) for _, row in here.iterrows()}
        cells = (told.get(method, NONE) for method in methods)
        rows.append((task_label(task, obs), name, units[name], number(limit, 6), *cells))
    head = ("Task", "Perturbation", "Strength", "Cost limit", *map(method_label, methods))
    return markdown(head, rows)


def costlier_markdown(table: pd.DataFrame) -> str:
    """One line per task and pair of methods; `table` of `analysis.statistics.stress.costlier`."""
    lines = []
    for (task, obs, a, b), here in table.groupby(["task", "obs", "a", "b"], sort=False):
        found: dict[str, list[str]] = {a: [], b: [], "": []}
        for row in here.to_dict("records"):
            more = a if row["low"] > 0 else b if row["high"] < 0 else ""
            size = f" ({abs(row['difference']):.1f})" if more else ""
            found[more].append(row["perturbation"] + size)
        parts = [
            f"{method_label(more)} costs more under {', '.join(found[more])}"
            for more in (a, b)
            if found[more]
        ]
        parts += [f"no clear difference under {', '.join(found[''])}"] if found[""] else []
        pair = f"**{method_label(a)} and {method_label(b)}**, {task_label(task, obs)}"
        lines.append(f"- {pair}: {'; '.join(parts)}.\n")
    return "".join(lines)


def levels_markdown(found: Stress) -> str:
    """One row per method, task, perturbation and strength."""
    return listed(found.levels, LEVELS)


def errors_markdown(table: pd.DataFrame) -> str:
    """One row per method, task, perturbation and strength, means over runs: cost, and errors of
    observation and cost for each number of steps ahead.
    """
    steps = sorted(table["steps_ahead"].unique())
    names = {"observation_error": "Observation error", "cost_error": "Cost error"}
    head = ["Method", "Task", "Perturbation", "Strength", "Cost"]
    head += [f"{title}, {step} ahead" for title in names.values() for step in steps]
    rows = []
    groups = table.groupby(["method", "task", "obs", "perturbation", "strength"], sort=False)
    for (method, task, obs, perturbation, strength), cell in groups:
        at = cell.groupby("steps_ahead")[list(names)].mean()
        numbers = [number(at.loc[step, name], 3) for name in names for step in steps]
        cells = (method_label(method), task_label(task, obs), perturbation, f"{strength:g}")
        rows.append([*cells, number(cell["cost"].mean(), 2), *numbers])
    return markdown(head, rows)


def matrix_markdown(table: pd.DataFrame) -> str:
    """A row per method and trained task, a column per played task: return at cost."""
    tasks = list(dict.fromkeys([*table["own_task"], *table["task"]]))
    obs = table["obs"].iloc[0]
    rows = []
    for (method, own), part in table.groupby(["method", "own_task"], sort=False):
        cells = {
            row["task"]: f"{row['return']:.2f} at {row['cost']:.1f}" for _, row in part.iterrows()
        }
        rows.append(
            [method_label(method), task_label(own, obs), *(cells.get(task, "–") for task in tasks)]
        )
    return markdown(("Method", "Trained on", *(task_label(task, obs) for task in tasks)), rows)
