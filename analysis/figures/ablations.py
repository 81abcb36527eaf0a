"""Figures of the ablations: who contributes what, planner budget, cost limit.

Frames of `analysis.statistics.ablations` in, Figure out.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from analysis.figures import style
from analysis.figures.overall import axis_label
from analysis.read.labels import task_label
from analysis.statistics.ablations import Parts, budgets, cells, effects, limits, square

# Each way of acting looks like the method it is the core of.
LINES = {
    "actor": (Parts("actor", ""), style.METHODS["bsrp_lag"]),
    "planner": (Parts("planner", ""), style.METHODS["osrp_lag"]),
    "planner, no filter": (Parts("planner", "", False), style.METHODS["cem"]),
    "planner, no cost critic": (Parts("planner", "", True, False), style.METHODS["lambda"]),
    "planner, no filter, no cost critic": (
        Parts("planner", "", False, False),
        style.METHODS["safe_slac"],
    ),
}
MULTIPLIERS = ("none", "augmented", "PID")
# light to dark, so that they keep their order in grey
HORIZON_COLORS = ("#A6CEE3", "#3182BD", "#08306B")
ITERATION_MARKERS = ("o", "s", "^", "D", "v")


def contribution(scores: pd.DataFrame, gain: str = "return", cost: str = "cost") -> Figure:
    """A row each for the metrics `gain` and `cost`.

    Means of every combination of parts, then main effects and interaction.

    Raises ValueError when no run's parts are known.
    """
    with style.context():
        figure = Figure(figsize=(style.PAGE, 4.4), layout="constrained")
        grid = figure.subplots(2, 2, width_ratios=(1.35, 1.0))
        drawn: set[str] = set()
        for (left, right), metric in zip(grid, (gain, cost)):
            table = cells(scores, metric)
            if table.empty:
                raise ValueError(
                    "no run of ablation-planner-lagrangian, nor of the four methods it takes apart"
                )
            drawn |= _interaction(left, table)
            left.set_ylabel(axis_label(metric), fontsize=7.5)
            _effects(right, scores, metric)
        grid[1][0].set_xlabel("Lagrangian multiplier")
        handles = [
            Line2D(
                [],
                [],
                color=look.color,
                ls=look.line,
                marker=look.marker,
                mec="white",
                mew=0.5,
                label=name,
            )
            for name, (_, look) in LINES.items()
            if name in drawn
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7)
        return figure


def _interaction(axes: Axes, table: pd.DataFrame) -> set[str]:
    """Lines that are not parallel interact. Returns the names of those drawn."""
    there = [kind for kind in MULTIPLIERS if (table["multiplier"] == kind).any()]
    drawn = set()
    for shift, (name, (like, look)) in enumerate(LINES.items()):
        mine = table[
            [
                tuple(row) == (like.acts, like.feasible_filter, like.cost_critic)
                for row in _rows(table)
            ]
        ]
        mine = mine.set_index("multiplier").reindex(there).dropna(subset=["value"])
        if mine.empty:
            continue
        drawn.add(name)
        # side by side: intervals stay readable
        x = np.array([there.index(kind) for kind in mine.index]) + 0.05 * (shift - 1.5)
        arms = np.stack([mine["value"] - mine["low"], mine["high"] - mine["value"]])
        arms = np.nan_to_num(np.maximum(arms, 0.0))
        mark = {
            "marker": look.marker,
            "color": look.color,
            "ls": look.line,
            "mec": "white",
            "mew": 0.5,
            "capsize": 2,
            "elinewidth": 1,
        }
        axes.errorbar(x, mine["value"], yerr=arms, **mark)
    axes.set_xticks(range(len(there)), there)
    axes.set_xlim(-0.35, len(there) - 0.65)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return drawn


def _rows(table: pd.DataFrame) -> zip:
    return zip(table["acts"], table["feasible_filter"], table["cost_critic"])


def _effects(axes: Axes, scores: pd.DataFrame, metric: str) -> None:
    found = square(scores, metric)
    if found is None:
        axes.text(0.5, 0.5, "no task has all four of\n"
            "planner and actor,\n"
            "with and without multiplier", ha="center", va="center",
                  transform=axes.transAxes, fontsize=7, gid="missing")  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
        return
    table = effects(found, metric)
    places = np.arange(len(table))
    axes.barh(places, table["value"], height=0.55, color="#9AA5B1", gid="effect")
    for place, line in zip(places, table.itertuples()):
        axes.plot([line.low, line.high], [place, place], color="black", lw=1.2, gid="interval")
    axes.axvline(0.0, color=style.TEXT_COLOR, lw=0.8)
    axes.set_yticks(places, table["effect"])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    sure = "" if table["low"].notna().all() else "\ntoo few seeds for intervals"
    kind = (
        "augmented multiplier" if found.multiplier == "augmented" else "multiplier of each method"
    )
    axes.set_xlabel(
        f"Effect, {found.tasks} task{'' if found.tasks == 1 else 's'}, {kind}{sure}", fontsize=7
    )


def budget(
    scores: pd.DataFrame, act_ms: pd.Series | None = None, gain: str = "return", cost: str = "cost"
) -> Figure:
    """Return, cost and milliseconds per action against the model steps that a plan takes.

    A panel each.

    Args: scores; act_ms, milliseconds per agent step by run (`analysis.statistics.timing.act_ms`).
    Points are means over seeds, bars their range. Raises ValueError when no run names a planner
    budget.
    """
    table = budgets(scores, act_ms)
    if table.empty:
        raise ValueError("no run of ablation-planner-budget")
    columns = [
        (gain, axis_label(gain)),
        (cost, axis_label(cost)),
        ("act_ms", "Milliseconds per action ↓"),
    ]
    horizons, iterations = sorted(table["horizon"].unique()), sorted(table["iterations"].unique())
    shades = {h: HORIZON_COLORS[min(i, len(HORIZON_COLORS) - 1)] for i, h in enumerate(horizons)}
    markers = {n: ITERATION_MARKERS[i % len(ITERATION_MARKERS)] for i, n in enumerate(iterations)}
    with style.context():
        figure = Figure(figsize=(style.PAGE, 2.6), layout="constrained")
        for axes, (metric, label) in zip(figure.subplots(1, 3), columns):
            axes.set_xscale("log")
            for (horizon, count), line in table.groupby(["horizon", "iterations"]):
                points = (
                    line.groupby("model_steps")[metric]
                    .agg(["mean", "min", "max"])
                    .dropna()
                    .sort_index()
                )
                look = {"color": shades[horizon], "marker": markers[count]}
                axes.vlines(points.index, points["min"], points["max"], color=look["color"], lw=1.0)
                axes.plot(points.index, points["mean"], lw=0.8, ms=4, mec="white", mew=0.5, **look)
            axes.set_ylabel(label, fontsize=7.5)
            axes.set_xlabel("Model steps per action")
            if table[metric].isna().all():
                axes.text(
                    0.5,
                    0.5,
                    "not measured",
                    transform=axes.transAxes,
                    ha="center",
                    fontsize=7,
                    gid="missing",
                )
            elif metric == "act_ms":
                axes.set_yscale("log")
        handles = [Line2D([], [], color=shades[h], lw=2, label=f"horizon {h:g}") for h in horizons]
        handles += [
            Line2D([], [], color="#666666", ls="", marker=markers[n], label=f"{n:g} iterations")
            for n in iterations
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=6, fontsize=7, columnspacing=1.2
        )
        return figure


def cost_limits(scores: pd.DataFrame, gain: str = "return", cost: str = "cost") -> Figure:
    """Return and cost against the cost limit, a pair of panels per task.

    On the dashed line cost equals its limit.

    Points are means over seeds, bars their range. Raises ValueError when no run names its cost
    limit.
    """
    table = limits(scores)
    if table.empty:
        raise ValueError("no run of ablation-cost-limit")
    tasks = sorted(set(zip(table["task"], table["obs"])))
    looks = style.method_styles(table["method"])
    with style.context():
        rows = math.ceil(len(tasks) / 2)
        figure = Figure(figsize=(style.PAGE, 2.1 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, 4, squeeze=False).reshape(-1, 2)
        for (left, right), (task, obs) in zip(grid, tasks):
            here = table[(table["task"] == task) & (table["obs"] == obs)]
            for axes, metric in ((left, gain), (right, cost)):
                for name, look in looks.items():
                    points = (
                        here[here["method"] == name]
                        .groupby("cost_limit")[metric]
                        .agg(["mean", "min", "max"])
                    )
                    axes.vlines(
                        points.index,
                        points["min"],
                        points["max"],
                        color=look.color,
                        lw=1.0,
                        alpha=0.7,
                    )
                    axes.plot(
                        points.index,
                        points["mean"],
                        color=look.color,
                        ls=look.line,
                        marker=look.marker,
                        lw=1.2,
                        ms=4,
                        mec="white",
                        mew=0.5,
                    )
                _limit_axis(axes, sorted(here["cost_limit"].unique()))
                axes.set_ylabel(axis_label(metric), fontsize=7)
                axes.set_xlabel("Cost limit", fontsize=7)
            top = here["cost_limit"].max()
            line = np.linspace(0.0, top, 200)
            right.set_yscale("symlog", linthresh=2.0, linscale=0.7)
            right.yaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100]))
            right.yaxis.set_minor_locator(FixedLocator([]))
            right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            right.set_ylim(-0.3, 1.2 * max(top, here[cost].max()))
            right.plot(
                line, line, color=style.LIMIT_COLOR, lw=1.0, ls=(0, (4, 3)), gid="cost limit"
            )
            left.set_title(task_label(task, obs), fontsize=8, loc="left")
        for axes in grid[len(tasks) :].flat:
            axes.remove()
        handles = [
            Line2D(
                [],
                [],
                color=k.color,
                ls=k.line,
                marker=k.marker,
                lw=1.2,
                ms=4,
                mec="white",
                label=k.label,
            )
            for k in looks.values()
        ]
        handles.append(
            Line2D(
                [], [], color=style.LIMIT_COLOR, lw=1.0, ls=(0, (4, 3)), label="cost equals limit"
            )
        )
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=7)
        return figure


def _limit_axis(axes: Axes, values: list[float]) -> None:
    axes.set_xscale("symlog", linthresh=2.0, linscale=0.7)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(-0.3, max(values) * 1.2 + 0.1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
