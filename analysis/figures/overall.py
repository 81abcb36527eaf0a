"""Figures over all tasks: aggregates with intervals, performance profiles, who improves on whom,
return against cost.

Frames of `analysis.statistics.aggregates` and `analysis.statistics.metrics` in, Figure out, nothing
saved. Every interval is the 95 % bootstrap interval that `analysis.statistics.aggregates` computed;
where a method has too few seeds for one it is not drawn, and the label says how many there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.figures import style
from analysis.read.labels import method_label
from analysis.statistics.metrics import METRICS

STATISTICS = ("IQM", "Median", "Mean")
ROW = 0.19  # inches per method
LEGEND_COLUMN = 1.6  # inches per column of a legend below the axes


def bars(aggregates: Mapping[str, pd.DataFrame], statistics: Sequence[str] = STATISTICS) -> Figure:
    """One row of panels per metric, one column per statistic, one bar per method with its interval.

    Args: aggregates, frames of `stats.aggregate` by the name of their metric.
    """
    if not aggregates:
        raise ValueError("nothing to draw: no metric given")
    names = list(
        style.method_styles(name for frame in aggregates.values() for name in frame["method"])
    )
    with style.context():
        height = len(aggregates) * (len(names) * ROW + 0.55) + 0.2
        figure = Figure(figsize=(style.PAGE, height), layout="constrained")
        grid = figure.subplots(len(aggregates), len(statistics), squeeze=False, sharey="row")
        for row, (metric, frame) in zip(grid, aggregates.items()):
            for axes, statistic in zip(row, statistics):
                _bar_panel(axes, frame[frame["statistic"] == statistic], names)
                axes.set_title(statistic, fontsize=8)
            row[len(row) // 2].set_xlabel(axis_label(metric))
            row[0].set_yticks(range(len(names)), [method_label(name) for name in names], fontsize=7)
            row[0].invert_yaxis()
        return figure


def _bar_panel(axes: Axes, frame: pd.DataFrame, names: Sequence[str]) -> None:
    looks = style.method_styles(names)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    by_method = frame.set_index("method")
    for place, name in enumerate(names):
        if name not in by_method.index or not math.isfinite(by_method.loc[name, "value"]):
            axes.text(
                0.02,
                place,
                "no runs",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=6,
                gid="missing",
            )
            continue
        line, look = by_method.loc[name], looks[name]
        trusted = bool(line["trusted"])
        fill = (
            {"color": look.color, "alpha": 0.55}
            if trusted
            else {"facecolor": "white", "edgecolor": look.color, "ls": "--"}
        )
        axes.barh(place, line["value"], height=0.68, lw=0.8, gid=f"bar {name}", **fill)
        if not trusted:
            # a bar of length 0 is seen, too
            axes.plot(line["value"], place, marker="|", color=look.color, ms=7, mew=1.5)
        else:
            ends = {"marker": "|", "ms": 5, "mew": 1.0}
            axes.plot(
                [line["low"], line["high"]],
                [place] * 2,
                color="black",
                lw=1.2,
                gid=f"interval {name}",
                zorder=4,
                **ends,
            )
    axes.axvline(0.0, color=style.TEXT_COLOR, lw=0.6)


def profiles(frame: pd.DataFrame, metric: str, threshold: float | None = None) -> Figure:
    """Share of runs better than each value tau, per method, with its band.

    Args: frame of `stats.profiles`; threshold, a value of the metric to mark.
    """
    looks = style.method_styles(frame["method"])
    with style.context():
        figure, axes = _with_legend_below(len(looks), width=style.COLUMN, height=2.1)
        for name, look in looks.items():
            line = frame[frame["method"] == name].sort_values("tau")
            axes.fill_between(
                line["tau"], line["low"], line["high"], color=look.color, alpha=0.13, lw=0
            )
            axes.plot(line["tau"], line["share"], gid=name, **strong(look, len(line)))
        if threshold is not None:
            axes.axvline(threshold, color=style.LIMIT_COLOR, lw=1.0, ls=(0, (4, 3)))
        above = METRICS[metric].higher_is_better
        axes.set_xlabel(f"{axis_label(metric)}: τ")
        axes.set_ylabel(f"Share of runs {'>' if above else '≤'} τ")
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(frame["tau"].min(), frame["tau"].max())
        _legend_below(figure, looks)
        return figure


def improvement(frame: pd.DataFrame, metric: str) -> Figure:
    """Probability that a run of the row's method is better than one of the column's.

    Bold where the interval excludes one half.

    Args: frame of `stats.improvement`; a pair may stand in it in one direction only.
    """
    names = list(style.method_styles([*frame["x"], *frame["y"]]))
    value, sure = _square(frame, names)
    labels = [method_label(name) for name in names]
    with style.context():
        cell = min(0.36, (style.PAGE - 1.9) / len(names))
        figure = Figure(
            figsize=(cell * len(names) + 1.9, cell * len(names) + 1.5), layout="constrained"
        )
        axes = figure.add_subplot()
        image = axes.imshow(value, cmap="PuOr_r", vmin=0, vmax=1)
        axes.grid(False)
        axes.tick_params(length=0)
        axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), labels)
        figure.suptitle(f"{_text(metric)}: probability\nthat row is better than column", fontsize=8)
        for (row, column), share in np.ndenumerate(value):
            if math.isfinite(share):
                shade = "white" if abs(share - 0.5) > 0.25 else "black"
                weight = "bold" if sure[row, column] else "normal"
                axes.text(
                    column,
                    row,
                    f"{share:.2f}",
                    ha="center",
                    va="center",
                    fontsize=6,
                    color=shade,
                    fontweight=weight,
                )
        bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, ticks=[0, 0.25, 0.5, 0.75, 1])
        bar.outline.set_visible(False)
        return figure


def _square(frame: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [M, M], NaN on the diagonal and where no pair is given, and whether the
    interval excludes one half.
    """
    value = np.full((len(names), len(names)), np.nan)
    sure = np.zeros_like(value, dtype=bool)
    for line in frame.itertuples():
        row, column = names.index(line.x), names.index(line.y)
        if row == column:
            continue
        value[row, column] = line.probability
        sure[row, column] = sure[column, row] = line.low > 0.5 or line.high < 0.5
        if math.isnan(value[column, row]):
            value[column, row] = 1.0 - line.probability
    return value, sure


def scatter(
    scores: pd.DataFrame,
    across: pd.DataFrame,
    up: pd.DataFrame,
    x: str = "cost_over_limit",
    y: str = "normalised_return",
) -> Figure:
    """Return against cost: small marks are tasks (mean over seeds), large ones methods with their
    intervals, a line the front.

    Args: scores of `metrics.scores`; across and up, the rows of one statistic of `stats.aggregate`
    for the metrics x and y.
    """
    looks = style.method_styles(scores["method"])
    with style.context():
        figure, axes = _with_legend_below(
            len(looks), width=style.COLUMN, height=2.4, entries=len(looks) + 2
        )
        tasks = scores.groupby(["method", "task", "obs"])[[x, y]].mean().reset_index()
        centre = pd.merge(across, up, on="method", suffixes=("_x", "_y")).dropna(
            subset=["value_x", "value_y"]
        )
        for name, look in looks.items():
            small = tasks[tasks["method"] == name]
            axes.plot(
                small[x],
                small[y],
                look.marker,
                color=look.color,
                ms=2.5,
                alpha=0.35,
                mew=0,
                gid=f"tasks {name}",
            )
            for line in centre[centre["method"] == name].itertuples():
                error = {
                    "fmt": look.marker,
                    "color": look.color,
                    "mec": "black",
                    "mew": 0.6,
                    "ms": 6.5,
                    "elinewidth": 1.1,
                }
                wide = {"xerr": _arms(line, "x"), "yerr": _arms(line, "y")}
                axes.errorbar(line.value_x, line.value_y, **wide, **error, zorder=5)
        best = pareto(centre["value_x"].to_numpy(), centre["value_y"].to_numpy())
        front = centre.iloc[best]
        axes.step(
            front["value_x"],
            front["value_y"],
            where="post",
            color=style.TEXT_COLOR,
            lw=0.9,
            zorder=3,
            gid="front",
        )
        if x == "cost_over_limit":
            axes.axvline(1.0, color=style.LIMIT_COLOR, lw=1.0, ls=(0, (4, 3)))
        _spread_axis(axes, tasks[x], linear=1.0)
        _keep_readable(axes, centre, tasks[y])
        axes.set_xlabel(axis_label(x))
        axes.set_ylabel(axis_label(y))
        extra = [Line2D([], [], color=style.TEXT_COLOR, lw=0.9, label="Pareto front")]
        if x == "cost_over_limit":
            extra.append(
                Line2D([], [], color=style.LIMIT_COLOR, lw=1.0, ls=(0, (4, 3)), label="cost limit")
            )
        _legend_below(figure, looks, extra, lines=False)
        return figure


def _keep_readable(axes: Axes, centre: pd.DataFrame, values: pd.Series) -> None:
    """Cut the y axis where single tasks lie far above every method's aggregate, and say how
    many.
    """
    top = 2.0 * centre[["value_y", "high_y"]].max(axis=None)
    beyond = int((values > top).sum())
    if not beyond or not top > 0:
        return
    axes.set_ylim(top=top)
    text = f"{beyond} task mean{'' if beyond == 1 else 's'} above {top:.2g}"
    axes.text(
        0.98,
        0.98,
        text,
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=6,
        color=style.TEXT_COLOR,
        gid="beyond",
    )


def pareto(cost: np.ndarray, gain: np.ndarray) -> list[int]:
    """Indices, by rising cost, of the points that no other one beats.

    None has less cost at no less gain, or more at no more cost.
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
    if not getattr(line, f"trusted_{axis}") or not (math.isfinite(low) and math.isfinite(high)):
        return None
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def _spread_axis(axes: Axes, values: pd.Series, linear: float) -> None:
    """A logarithmic x axis above `linear` where values spread far beyond it."""
    top = values[np.isfinite(values)].max()
    if not top > 8 * linear:
        return
    axes.set_xscale("symlog", linthresh=linear, linscale=0.7)
    axes.set_xlim(-0.1 * linear, top * 1.5)
    ticks = [
        0.0,
        *(t for t in (linear * s * 10**d for d in range(5) for s in (1, 3)) if t <= top * 1.5),
    ]
    axes.set_xticks(ticks, minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def axis_label(metric: str) -> str:
    """Name and unit of a metric, and which way is better."""
    known = METRICS[metric]
    # these the name says already
    unit = f" ({known.unit})" if known.unit not in ("", "reward", "cost", "share") else ""
    return f"{_text(metric)}{unit} {'↑' if known.higher_is_better else '↓'}"


def _text(metric: str) -> str:
    label = METRICS[metric].label
    return label[:1].upper() + label[1:]


def strong(look: style.MethodStyle, points: int) -> dict[str, Any]:
    """How a method's line is drawn when it has many points.

    A few markers keep it recognisable in grey.
    """
    every = max(1, points // 6)
    start = sum(map(ord, look.label)) % every
    mark = {
        "marker": look.marker,
        "markevery": (start, every),
        "ms": 3.2,
        "mec": "white",
        "mew": 0.4,
    }
    return {"color": look.color, "ls": look.line, "lw": 1.3, **mark}


def _with_legend_below(
    looks: int, width: float, height: float, entries: int | None = None
) -> tuple[Figure, Axes]:
    rows = math.ceil((entries or looks) / max(1, int(width / LEGEND_COLUMN)))
    figure = Figure(figsize=(width, height + 0.17 * rows), layout="constrained")
    return figure, figure.add_subplot()


def _legend_below(
    figure: Figure,
    looks: Mapping[str, style.MethodStyle],
    extra: Sequence[Line2D] = (),
    lines: bool = True,
) -> None:
    """Methods with line and marker, in as many columns as fit."""
    handles = []
    for look in looks.values():
        mark = {
            "color": look.color,
            "marker": look.marker,
            "mec": "white" if lines else "black",
            "mew": 0.5,
        }
        handles.append(
            Line2D(
                [], [], ls=look.line if lines else "none", lw=1.3, ms=4, label=look.label, **mark
            )
        )
    columns = max(1, int(figure.get_figwidth() / LEGEND_COLUMN))
    figure.legend(handles=[*handles, *extra], loc="outside lower center", ncols=columns, fontsize=7)
