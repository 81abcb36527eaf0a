"""Facets and lines by seaborn, in the looks of `analysis.figures.style`, and the axis of costs.

matplotlib draws the bands: seaborn computes intervals itself, point by point, and takes no
precomputed ones; ours come from `analysis.statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.style import MethodStyle

MOST_METHODS = 6  # in one row of panels; bands of more could not be told apart
LOG_RATIO = 8.0  # of the largest cost to a limit, above which the cost axis is logarithmic


def facets(
    data: pd.DataFrame, panels: Sequence[Any], columns: int, size: tuple[float, float]
) -> tuple[Figure, list[Axes | None]]:
    """A figure of `size` inches with one panel per entry of `panels`, row by row.

    None leaves a place empty. Returns its axes in the order of `panels`.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns  # local: the import takes seconds

    class Grid(sns.FacetGrid):
        def tight_layout(self, *args: Any, **kwargs: Any) -> Any:
            """Do nothing: it takes as long as drawing, and constrained layout replaces it."""
            return self

    places = range(len(panels))
    grid = Grid(
        data.assign(panel=0), col="panel", col_order=list(places), col_wrap=columns,
        sharex=False, sharey=False, despine=False,
    )  # fmt: skip
    figure = grid.figure
    plt.close(figure)  # else pyplot keeps a reference
    figure.set_layout_engine("constrained")
    figure.set_size_inches(*size)
    axes: list[Axes | None] = []
    for place, panel in zip(places, panels):
        one = grid.axes_dict[place]
        one.set_title("")
        if panel is None:
            one.remove()
        axes.append(None if panel is None else one)
    return figure, axes


def rows_of(looks: Mapping[str, MethodStyle]) -> list[dict[str, MethodStyle]]:
    """The methods of each row of panels, in order, split evenly."""
    count = max(1, math.ceil(len(looks) / MOST_METHODS))
    parts = np.array_split(np.array(list(looks), dtype=object), count)
    return [{name: looks[name] for name in part} for part in parts]


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int, **look: Any) -> None:
    """The legend below all panels, in fewer columns than given where long names need the width."""
    look = {"handles": handles, "loc": "outside lower center"} | look
    for ncols in range(min(columns, len(handles)), 0, -1):
        legend = figure.legend(**look, ncols=ncols)
        if ncols == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def legend_beside(axes: Axes, handles: Sequence[Artist]) -> None:
    """The legend of a row of panels, to the right of the last panel."""
    axes.legend(
        handles=list(handles), fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.0,
    )  # fmt: skip


def lines(
    axes: Axes,
    data: pd.DataFrame,
    looks: Mapping[str, MethodStyle],
    x: str = "env_steps",
    y: str = "value",
    *,
    markers: bool = True,
    **look: Any,
) -> None:
    """The lines of a long frame: `method` chooses the look, `line` names lines of a method.

    Args: look, further properties of all lines.
    """
    import seaborn as sns

    names = [name for name in looks if (data["method"] == name).any()]
    if not names:
        return
    sns.lineplot(
        data=data, x=x, y=y, hue="method", hue_order=names, style="method", style_order=names,
        units="line", estimator=None, legend=False, ax=axes,
        palette={name: looks[name].color for name in names},
        dashes={name: looks[name].dashes for name in names},
        markers={name: looks[name].marker for name in names} if markers else False,
        **look,
    )  # fmt: skip
    axes.set(xlabel="", ylabel="")


def bands(axes: Axes, data: pd.DataFrame, looks: Mapping[str, MethodStyle]) -> None:
    """The intervals `low` to `high` of the lines of a long frame, where there are any."""
    for (method, _), line in data.dropna(subset=["low", "high"]).groupby(["method", "line"]):
        axes.fill_between(
            line["env_steps"], line["low"], line["high"], color=looks[method].color, alpha=0.16,
            lw=0, zorder=3, gid="band",
        )  # fmt: skip


def cost_axis(axes: Axes, limits: Sequence[float]) -> None:
    """Add limit lines, and a scale that shows both a small limit and the costs of unsafe methods.

    Shared axes are scaled by the lines of all of them.
    """
    for limit in limits:
        style.limit_line(axes, limit)
    scaled = axes.get_shared_y_axes().get_siblings(axes)
    heights = [np.asarray(line.get_ydata(), float) for one in scaled for line in one.lines]
    drawn = np.concatenate([[1.0], *heights])
    top = drawn[np.isfinite(drawn)].max()
    linear = max(1.0, *limits) if limits else 1.0
    if not limits or top <= LOG_RATIO * linear:
        axes.set_ylim(-0.04 * top, top * 1.08)
        return
    decades = (step * 10**decade for decade in range(5) for step in (2, 5, 10))
    ticks = dict.fromkeys([0.0, linear, *decades])
    shown = [t for t in ticks if t == 0 or linear <= t <= top * 1.6]
    style.symlog(axes, "y", linear, shown)
    # below zero, so that a line at zero is not hidden by the axis
    axes.set_ylim(-0.12 * linear, top * 1.6)


def linear_cost_axis(axes: Axes, limits: pd.Series, highest: float) -> None:
    """Add a line per limit (NaN: none), and a scale that shows these and the highest cost."""
    for limit in sorted(set(limits.dropna())):
        style.limit_line(axes, limit)
    top = max(1.0, highest, 1.5 * np.nan_to_num(limits.max()))
    axes.set_ylim(-0.04 * top, 1.05 * top)
