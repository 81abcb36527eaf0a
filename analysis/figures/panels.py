"""What figures over all tasks have in common: labels and scales of metrics, legends of methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import style
from analysis.figures.facets import legend_below
from analysis.statistics.metrics import METRICS

LEGEND_COLUMN = 1.7  # inches per column of a legend below the axes
AT_LIMIT = {"cost_over_limit": 1.0}  # where a metric equals the cost limit


def spread_axis(axes: Axes, which: Literal["x", "y"], values: pd.Series) -> None:
    """Make the axis logarithmic above 1 if values reach far beyond it."""
    top = values[np.isfinite(values)].max()
    if not top > 8.0:
        return
    decades = (step * 10.0**d for d in range(5) for step in (1, 3))
    style.symlog(axes, which, 1.0, [0.0, *(t for t in decades if t <= top * 1.5)])
    {"x": axes.set_xlim, "y": axes.set_ylim}[which](-0.1, top * 1.5)


def mark_limit(axes: Axes, metric: str, across: bool = False) -> bool:
    """Add a labelled line where the metric equals the cost limit; returns whether there is one."""
    if metric not in AT_LIMIT:
        return False
    style.limit_line(axes, AT_LIMIT[metric], across=across, text="cost = limit")
    return True


def axis_label(metric: str) -> str:
    """Name and unit of a metric, and which way is better."""
    known = METRICS[metric]
    # units that are clear from the name
    unit = f" ({known.unit})" if known.unit not in ("", "reward", "cost", "share") else ""
    return f"{known.label}{unit} {'↑' if known.higher_is_better else '↓'}"


def legend_height(entries: int, width: float) -> float:
    """Inches that a legend below axes of this width takes."""
    return 0.17 * math.ceil(entries / max(1, int(width / LEGEND_COLUMN)))


def methods_below(
    figure: Figure,
    looks: Mapping[str, style.MethodStyle],
    extra: Sequence[Line2D] = (),
    lines: bool = True,
) -> None:
    """Add a legend of the methods with line and marker."""
    handles = [look.handle(line=lines, ms=4, lw=1.3) for look in looks.values()]
    columns = max(1, int(figure.get_figwidth() / LEGEND_COLUMN))
    legend_below(figure, [*handles, *extra], columns, fontsize=7)
