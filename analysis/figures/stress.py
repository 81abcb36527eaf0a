"""Figures of a stress test: return and cost against strength, a column per perturbation and a block
of rows per task; for transfer, the matrix of tasks.

Frames of `analysis.statistics.stress` in, Figure out. Bands are 95 % bootstrap intervals over
episodes; a dotted vertical line in a cost panel marks the threshold of a method.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.facets import facets, legend_below, linear_cost_axis
from analysis.results.labels import method_label, task_label
from analysis.statistics.stress import Stress

COLUMNS = 5  # perturbations side by side
METRICS = ("return", "cost")
WIDTH, HEIGHT = 1.75, 1.35  # inches of a panel
LABELS = {"return": "Return", "cost": "Cost"}


def figure(found: Stress, title: str = "") -> Figure:
    """Two panels per perturbation, one line per method; tasks one below the other.

    Args: found, with levels of at least one perturbation.
    """
    looks = style.method_styles(found.levels["method"])
    levels, marks = (
        dict(list(frame.groupby(["task", "obs", "perturbation"], sort=False))) for frame in found
    )
    tasks: dict[tuple[str, str], list[str]] = {}
    for task, obs, name in levels:
        tasks.setdefault((task, obs), []).append(name)
    columns = min(COLUMNS, max(map(len, tasks.values())))
    panels: list[tuple[str, str, str, str] | None] = []
    for task, names in tasks.items():
        for start in range(0, len(names), columns):
            row = names[start : start + columns]
            for metric in METRICS:
                panels += [(*task, name, metric) for name in row]
                panels += [None] * (columns - len(row))
    size = (max(style.COLUMN, WIDTH * columns), HEIGHT * math.ceil(len(panels) / columns) + 0.6)
    with style.context():
        drawn, axes = facets(found.levels, panels, columns, size)
        for place, (panel, one) in enumerate(zip(panels, axes)):
            if panel is None or one is None:
                continue
            task, obs, name, metric = panel
            _draw(one, levels[task, obs, name], marks[task, obs, name], metric, looks)
            if metric == "return":
                label = f"{task_label(task, obs)}\n" if len(tasks) > 1 else ""
                one.set_title(f"{label}{name}")
            if place % columns == 0:
                one.set_ylabel(LABELS[metric])
        handles = [look.handle(method_label(name)) for name, look in looks.items()]
        legend_below(drawn, handles, columns=4)
        drawn.suptitle(title or ", ".join(task_label(*task) for task in tasks), fontsize=9)
    return drawn


def _draw(
    axes: Axes,
    levels: pd.DataFrame,
    marks: pd.DataFrame,
    metric: str,
    looks: dict[str, style.MethodStyle],
) -> None:
    for method, line in levels.groupby("method", sort=False):
        look = looks[method]
        axes.plot(
            line["strength"], line[metric],
            color=look.color, ls=look.line, marker=look.marker, gid=f"{metric} {method}",
        )  # fmt: skip
        axes.fill_between(
            line["strength"], line[f"{metric}_low"], line[f"{metric}_high"],
            color=look.color, alpha=0.16, lw=0, gid="band",
        )  # fmt: skip
    if metric == "return":
        axes.tick_params(labelbottom=False)
        return
    axes.set_xlabel(levels["unit"].iloc[0] or "strength", fontsize=6.5)
    linear_cost_axis(axes, marks["cost_limit"], levels["cost_high"].max())
    for mark in marks.itertuples():
        if np.isfinite(mark.threshold):
            axes.axvline(mark.threshold, color=looks[mark.method].color, lw=0.8, ls=":")


def transfer(table: pd.DataFrame, title: str = "") -> Figure:
    """Trained task by played task for each method: return at cost as text, cost as colour."""
    tasks = list(dict.fromkeys([*table["own_task"], *table["task"]]))
    obs = table["obs"].iloc[0]
    rows = list(dict.fromkeys(zip(table["method"], table["own_task"])))
    costs = np.full((len(rows), len(tasks)), np.nan)
    texts = {}
    for _, row in table.iterrows():
        place = rows.index((row["method"], row["own_task"])), tasks.index(row["task"])
        costs[place] = row["cost"]
        over = row["cost"] > row["cost_limit"]
        texts[place] = f"{row['return']:.1f} at {row['cost']:.1f}" + (" †" if over else "")
    with style.context():
        drawn = Figure(
            (max(style.COLUMN, 2.0 + 1.2 * len(tasks)), 1.1 + 0.35 * len(rows)),
            layout="constrained",
        )
        axes = drawn.subplots()
        darkest = 1.6 * max(1.0, float(np.nanmax(costs)))  # light enough for black text
        image = axes.imshow(costs, cmap="Reds", vmin=0.0, vmax=darkest, aspect="auto")
        for (y, x), text in texts.items():
            axes.text(x, y, text, ha="center", va="center", fontsize=7)
        axes.set_xticks(range(len(tasks)), [task_label(task, obs) for task in tasks])
        labels = [f"{method_label(method)}, {task_label(own, '')}" for method, own in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.grid(False)
        axes.set_xlabel("played on (return at cost; † over the limit)")
        drawn.colorbar(image, label="Cost")
        drawn.suptitle(title or "Zero-shot transfer", fontsize=9)
    return drawn
