"""Facets and lines by seaborn, in the looks of `analysis.figures.style`.

Left to matplotlib: bands. seaborn computes intervals itself, point by point, and takes no finished
ones; ours come from `analysis.statistics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import MethodStyle


def facets(
    data: pd.DataFrame, panels: Sequence[Any], columns: int, size: tuple[float, float]
) -> tuple[Figure, list[Axes | None]]:
    """A figure of `size` inches with one panel per entry of `panels`, row by row.

    None leaves a place empty. Returns its axes in the order of `panels`.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns  # here: takes seconds

    class Grid(sns.FacetGrid):
        def tight_layout(self, *args: Any, **kwargs: Any) -> Any:
            """Not at all: it takes as long as drawing, and constrained layout comes after it."""
            return self

    places = range(len(panels))
    grid = Grid(
        data.assign(panel=0), col="panel", col_order=list(places), col_wrap=columns,
        sharex=False, sharey=False, despine=False,
    )  # fmt: skip
    figure = grid.figure
    plt.close(figure)  # pyplot would keep it
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
