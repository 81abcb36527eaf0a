"""Figures of a stress test: return and cost against strength, a column per perturbation and a block
of rows per task; for transfer, the matrix of tasks.

Frames of `analysis.statistics.stress` in, Figure out. Bands are 95 % bootstrap intervals over
episodes; a dotted vertical line in a cost panel marks the threshold of a method.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.facets import facets
from analysis.results.labels import method_label, task_label
from analysis.statistics.stress import Stress

COLUMNS = 5  # perturbations side by side
METRICS = ("return", "cost")
WIDTH, HEIGHT = 1.75, 1.35  # inches of a panel
LABELS = {"return": "Return", "cost": "Cost"}


class Panel(NamedTuple):
    """What one panel shows: one metric under one perturbation of one task."""

    task: str
    obs: str
    perturbation: str
    metric: str


def figure(found: Stress, title: str = "") -> Figure:
    """Two panels per perturbation, one line per method; tasks one below the other.

    Args: found, with levels of at least one perturbation.
    """
    looks = style.method_styles(found.levels["method"])
    tasks = {
        key: list(dict.fromkeys(levels["perturbation"]))
        for key, levels in found.levels.groupby(["task", "obs"], sort=False)
    }
    columns = min(COLUMNS, max(map(len, tasks.values())))
    panels: list[Panel | None] = []
    for (task, obs), names in tasks.items():
        for start in range(0, len(names), columns):
            row = names[start : start + columns]
            for metric in METRICS:
                panels += [Panel(task, obs, name, metric) for name in row]
                panels += [None] * (columns - len(row))
    size = (max(style.COLUMN, WIDTH * columns), HEIGHT * math.ceil(len(panels) / columns) + 0.6)
    with style.context():
        drawn, axes = facets(found.levels, panels, columns, size)
        for place, (panel, one) in enumerate(zip(panels, axes)):
            if panel is None or one is None:
                continue
            _draw(one, found, panel, looks)
            if panel.metric == "return" and len(tasks) > 1:
                label = task_label(panel.task, panel.obs)
                one.set_title(f"{label}\n{panel.perturbation}")
            if place % columns == 0:
                one.set_ylabel(LABELS[panel.metric])
        _legend(drawn, looks)
        drawn.suptitle(title or ", ".join(task_label(*task) for task in tasks), fontsize=9)
    return drawn


def _draw(axes: Axes, found: Stress, panel: Panel, looks: dict[str, style.MethodStyle]) -> None:
    here, marks = _rows(found.levels, panel), _rows(found.thresholds, panel)
    metric = panel.metric
    for method, line in here.groupby("method", sort=False):
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
        axes.set_title(panel.perturbation)
        axes.tick_params(labelbottom=False)
        return
    axes.set_xlabel(here["unit"].iloc[0] or "strength", fontsize=6.5)
    for limit in sorted(set(marks["cost_limit"].dropna())):
        style.limit_line(axes, limit)
    for _, mark in marks.iterrows():
        if np.isfinite(mark["threshold"]):
            axes.axvline(mark["threshold"], color=looks[mark["method"]].color, lw=0.8, ls=":")
    highest = max(
        1.0, float(here["cost_high"].max()), 1.5 * np.nan_to_num(marks["cost_limit"].max())
    )
    axes.set_ylim(-0.04 * highest, 1.05 * highest)


def _rows(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows of a panel's task and perturbation."""
    return frame[
        (frame["task"] == panel.task)
        & (frame["obs"] == panel.obs)
        & (frame["perturbation"] == panel.perturbation)
    ]


def _legend(drawn: Figure, looks: dict[str, style.MethodStyle]) -> None:
    drawn.legend(
        handles=[look.handle(method_label(name)) for name, look in looks.items()],
        loc="outside lower center", ncols=min(4, len(looks)),
    )  # fmt: skip


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
