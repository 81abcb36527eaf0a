"""Return against cost over all tasks.

Drawn by seaborn, which takes no precomputed intervals: matplotlib draws those.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import style
from analysis.figures.panels import (
    axis_label,
    legend_height,
    mark_limit,
    methods_below,
    spread_axis,
)
from analysis.results.labels import plural


def scatter(
    scores: pd.DataFrame,
    across: pd.DataFrame,
    up: pd.DataFrame,
    x: str = "cost_over_limit",
    y: str = "normalised_return",
) -> Figure:
    """Return against cost: small marks are tasks (mean over seeds), large marks methods with their
    intervals; the line is the Pareto front.

    Args: scores of `analysis.statistics.metrics.scores`; across and up, the rows of one statistic
    of `aggregate` for the metrics x and y.
    """
    import seaborn as sns

    looks = style.method_styles(scores["method"])
    with style.context():
        size = (style.COLUMN, 2.4 + legend_height(len(looks) + 2, style.COLUMN))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        tasks = scores.groupby(["method", "task", "obs"])[[x, y]].mean().reset_index()
        sns.scatterplot(
            tasks, x=x, y=y, hue="method", style="method", legend=False, ax=axes, s=10, alpha=0.35,
            palette={name: look.color for name, look in looks.items()}, linewidth=0,
            markers={name: look.marker for name, look in looks.items()}, gid="tasks",
        )  # fmt: skip
        keys = ["value_x", "value_y"]
        centre = pd.merge(across, up, on="method", suffixes=("_x", "_y")).dropna(subset=keys)
        for line in centre.itertuples():
            look = looks[line.method]
            error = {"fmt": look.marker, "color": look.color, "mec": "black", "mew": 0.6, "ms": 6.5}
            arms = {"xerr": _arms(line, "x"), "yerr": _arms(line, "y")}
            axes.errorbar(line.value_x, line.value_y, **arms, **error, elinewidth=1.1, zorder=5)
        best = pareto(centre["value_x"].to_numpy(), centre["value_y"].to_numpy())
        front = centre.iloc[best][keys]
        line = {"color": style.TEXT_COLOR, "lw": 0.9}
        axes.step(front["value_x"], front["value_y"], where="post", zorder=3, gid="front", **line)
        spread_axis(axes, "x", tasks[x])
        _keep_readable(axes, centre, tasks[y])
        axes.set_xlabel(axis_label(x))
        axes.set_ylabel(axis_label(y))
        extra = [Line2D([], [], label="Pareto front", **line)]
        if mark_limit(axes, x, across=True):
            extra.append(Line2D([], [], label="cost limit", **style.LIMIT_LINE))
        methods_below(figure, looks, extra, lines=False)
        return figure


def _keep_readable(axes: Axes, centre: pd.DataFrame, values: pd.Series) -> None:
    """Cut off the y axis where tasks lie far above all aggregates, and note how many are hidden."""
    top = 2.0 * centre[["value_y", "high_y"]].max(axis=None)
    beyond = int((values > top).sum())
    if not beyond or not top > 0:
        return
    axes.set_ylim(top=top)
    text = f"{plural(beyond, 'task mean')} above {top:.2g}"
    look = {"ha": "right", "va": "top", "fontsize": 6, "color": style.TEXT_COLOR, "gid": "beyond"}
    axes.text(0.98, 0.98, text, transform=axes.transAxes, **look)


def pareto(cost: np.ndarray, gain: np.ndarray) -> list[int]:
    """Indices, by rising cost, of the Pareto-optimal points.

    No other point has less cost at no less gain, or more gain at no more cost.
    """
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -gain[i]))
    front: list[int] = []
    for i in order:
        if not front or gain[i] > gain[front[-1]]:
            front.append(i)
    return front


def _arms(line: Any, axis: str) -> list[list[float]] | None:
    """Lengths of an error bar below and above, or None where the interval cannot be trusted."""
    value, low, high = (getattr(line, f"{name}_{axis}") for name in ("value", "low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]
