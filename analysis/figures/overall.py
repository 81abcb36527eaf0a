"""Figures over all tasks: aggregates with intervals, performance profiles, sample efficiency,
probability of improvement.

Frames of `analysis.statistics.aggregates` and `analysis.statistics.metrics` in, Figure out, nothing
saved. Every interval is the 95 % bootstrap interval computed there; a method with too few seeds for
one has none drawn.

Interval estimates, profiles and sample efficiency are drawn by rliable's plot utilities. This file
adds what they lack: rliable has no markers and no line styles for efficiency, sets sizes for slides
(`_restyle`), and draws a row for each pair of methods, 132 for twelve, so improvement is a heat map
by seaborn instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.figures import style
from analysis.figures.facets import legend_beside, rows_of
from analysis.figures.panels import (
    LEGEND_COLUMN,
    axis_label,
    legend_height,
    mark_limit,
    methods_below,
    spread_axis,
)
from analysis.results.labels import method_label
from analysis.statistics.metrics import METRICS

STATISTICS = ("IQM", "Median", "Mean")
ROW = 0.21  # inches per method


def intervals(columns: Mapping[str, pd.DataFrame], label: str = "") -> Figure:
    """One panel per column, one row per method: its interval as a bar, its estimate as a stroke.

    Args: columns, title -> rows of one statistic of `analysis.statistics.aggregates.aggregate`;
    label, of the axis below all panels.
    """
    import matplotlib.pyplot as plt
    from rliable import plot_utils  # local: the import takes seconds

    looks = style.method_styles(name for frame in columns.values() for name in frame["method"])
    rows = [frame.set_index("method").reindex(looks) for frame in columns.values()]
    values = np.array([row["value"].to_numpy(float) for row in rows])
    bounds = np.array([row[["low", "high"]].to_numpy(float).T for row in rows])
    with style.context():
        figure, axes = plot_utils.plot_interval_estimates(
            {name: values[:, place] for place, name in enumerate(looks)},
            {name: bounds[:, :, place].T for place, name in enumerate(looks)},
            list(columns),
            algorithms=list(looks),
            colors={name: look.color for name, look in looks.items()},
            xlabel="",
        )
        plt.close(figure)  # else pyplot keeps a reference
        figure.set_size_inches(style.PAGE, len(looks) * ROW + 0.75)
        figure.set_layout_engine("constrained")
        for place, panel in enumerate(np.atleast_1d(axes)):
            _restyle(panel)
            panel.grid(axis="y", visible=False)
            panel.tick_params(axis="y", length=0)
            panel.set_ylim(len(looks) - 0.5, -0.5)
            for row, (stroke, look) in enumerate(zip(panel.collections, looks.values())):
                if not np.isfinite(bounds[place, :, row]).all():  # no bar in the method's colour
                    stroke.set(color=look.color, alpha=1.0, linewidth=2.5)
            look = {"transform": panel.get_yaxis_transform(), "va": "center", "fontsize": 6}
            for row in np.flatnonzero(~np.isfinite(values[place])):
                panel.text(0.02, row, "no runs", gid="missing", **look)
        np.atleast_1d(axes)[0].set_yticklabels(map(method_label, looks), fontsize=7)
        figure.supxlabel(label, fontsize=8)
        return figure


def profiles(frame: pd.DataFrame, metric: str) -> Figure:
    """Share of runs better than each value tau, per method, with its band.

    Args: frame of `analysis.statistics.aggregates.profiles`.
    """
    from rliable import plot_utils

    looks = style.method_styles(frame["method"])
    above = METRICS[metric].higher_is_better
    with style.context():
        figure, grid, groups = _rows(looks, 1, style.COLUMN, 2.1)
        for axes, group in zip(grid[:, 0], groups):
            mine = {name: frame[frame["method"] == name].sort_values("tau") for name in group}
            taus = next(iter(mine.values()))["tau"].to_numpy()
            plot_utils.plot_performance_profiles(
                {name: line["share"].to_numpy() for name, line in mine.items()},
                taus,
                {name: line[["low", "high"]].to_numpy().T for name, line in mine.items()},
                ax=axes,
                colors={name: look.color for name, look in group.items()},
                linestyles={name: look.line for name, look in group.items()},
                alpha=0.13,
                xlabel=f"{axis_label(metric)}: τ" if axes is grid[-1, 0] else "",
                ylabel=f"Share of runs {'>' if above else '≤'} τ",
            )
            _restyle(axes, group)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.set_ylim(-0.02, 1.02)
            if not above:
                spread_axis(axes, "x", frame["tau"])
            axes.set_xlim(taus.min(), taus.max())
            mark_limit(axes, metric, across=True)
        return figure


def efficiency(frames: Mapping[str, pd.DataFrame]) -> Figure:
    """Interquartile mean over runs and tasks against simulator steps, a panel per metric.

    Args: frames of `analysis.statistics.aggregates.efficiency` by metric.
    """
    from rliable import plot_utils

    looks = style.method_styles(name for frame in frames.values() for name in frame["method"])
    with style.context():
        figure, grid, groups = _rows(looks, len(frames), style.PAGE, 2.4)
        panels = itertools.product(groups, frames.items())
        for axes, (group, (metric, frame)) in zip(grid.flat, panels):
            there = {name: look for name, look in group.items() if (frame["method"] == name).any()}
            for name, look in there.items():
                line = frame[frame["method"] == name]
                plot_utils.plot_sample_efficiency_curve(
                    line["env_steps"].to_numpy(),
                    {name: line["value"].to_numpy()},
                    {name: line[["low", "high"]].to_numpy().T},
                    ax=axes,
                    colors={name: look.color},
                    xlabel="Simulator steps",
                    ylabel=f"{axis_label(metric)}, IQM",
                )
            _restyle(axes, there)
            axes.set_xlim(left=0)
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            ends = frame.groupby("method")["env_steps"].max()
            if len(ends) and ends.max() > 20 * ends.min():
                axes.set_xscale("log")
                axes.set_xlim(left=frame["env_steps"].min())
            if not METRICS[metric].higher_is_better:
                spread_axis(axes, "y", frame["value"])
                mark_limit(axes, metric)
            if axes not in grid[-1]:
                axes.set_xlabel("")
        return figure


def improvement(frame: pd.DataFrame, metric: str) -> Figure:
    """Probability that a run of the row's method is better than one of the column's.

    Bold where the interval excludes one half.

    Args: frame of `analysis.statistics.aggregates.improvement`; it may hold a pair in one direction
    only.
    """
    import seaborn as sns

    names = list(style.method_styles([*frame["x"], *frame["y"]]))
    value, sure = _square(frame, names)
    labels = [method_label(name) for name in names]
    with style.context():
        cell = min(0.36, (style.PAGE - 1.9) / len(names))
        size = (cell * len(names) + 1.9, cell * len(names) + 1.5)
        figure = Figure(figsize=size, layout="constrained")
        axes = sns.heatmap(
            value, vmin=0, vmax=1, cmap="PuOr_r", annot=True, fmt=".2f", annot_kws={"fontsize": 6},
            square=True, mask=np.isnan(value), xticklabels=labels, yticklabels=labels,
            cbar_kws={"shrink": 0.7, "pad": 0.02, "ticks": [0, 0.25, 0.5, 0.75, 1]},
            ax=figure.add_subplot(),
        )  # fmt: skip
        for text in axes.texts:
            column, row = (int(part) for part in text.get_position())
            text.set_fontweight("bold" if sure[row, column] else "normal")
        axes.grid(False)
        axes.tick_params(length=0)
        axes.set_xticklabels(labels, rotation=45, ha="right", rotation_mode="anchor")
        figure.suptitle(
            f"{METRICS[metric].label}: probability\nthat row is better than column", fontsize=8
        )
        return figure


def _square(frame: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [M, M], NaN on the diagonal and for pairs not given, and whether the interval
    excludes one half [M, M].
    """
    apart = frame[frame["x"] != frame["y"]]
    apart = apart.assign(sure=(apart["low"] > 0.5) | (apart["high"] < 0.5))
    value, sure = (
        apart.pivot(index="x", columns="y", values=name).reindex(names, columns=names)
        for name in ("probability", "sure")
    )
    sure = sure.eq(True).to_numpy()
    return value.fillna(1.0 - value.T).to_numpy(float), sure | sure.T


def _restyle(axes: Axes, looks: Mapping[str, style.MethodStyle] | None = None) -> None:
    """Set page sizes for axes that rliable drew, and the methods' line styles and markers."""
    axes.tick_params(labelsize=7, length=2.5, width=0.6)
    axes.title.set_fontsize(8)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    for side in ("left", "bottom"):
        axes.spines[side].set_linewidth(0.7)
        axes.spines[side].set_position(("outward", 0))
    for line in axes.lines:
        look = (looks or {}).get(str(line.get_label()))
        if look is None:
            continue
        every = max(1, len(np.atleast_1d(line.get_xdata())) // 6)
        mark = {"marker": look.marker, "ms": 3.2, "mec": "white", "mew": 0.4}
        line.set(
            linestyle=look.line, linewidth=1.3, markevery=every, gid=str(line.get_label()), **mark
        )


def _rows(
    looks: Mapping[str, style.MethodStyle], columns: int, width: float, height: float
) -> tuple[Figure, np.ndarray, list[dict[str, style.MethodStyle]]]:
    """Rows of panels with shared axes, each for a few methods, with the legend below a single row
    or one beside each of several rows.

    Returns figure, axes [rows, columns] and the methods of each row.
    """
    groups = rows_of(looks)
    if len(groups) == 1:
        size = (width, height + legend_height(len(looks), width))
    else:
        size = (min(style.PAGE, width + LEGEND_COLUMN), 0.8 * height * len(groups) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    shape = {"squeeze": False, "sharex": "col", "sharey": "col"}
    grid = figure.subplots(len(groups), columns, **shape)  # type: ignore[arg-type]
    if len(groups) == 1:
        methods_below(figure, looks)
    else:
        for axes, group in zip(grid[:, -1], groups):
            legend_beside(axes, [look.handle(ms=4, lw=1.3) for look in group.values()])
    return figure, grid, groups
