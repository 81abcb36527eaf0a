"""Figures of the ablations: contribution of each part, planner budget, cost limit.

Frames of `analysis.statistics.ablations` in, Figure out. seaborn draws lines with ranges over
seeds; it takes no precomputed intervals, so matplotlib draws the bootstrap intervals of cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures import style
from analysis.figures.facets import facets, legend_below
from analysis.figures.panels import axis_label
from analysis.results.labels import plural, task_label
from analysis.statistics.ablations import cells, effects, given_costs, on_shared_tasks, square

# way of acting -> look: that of a method which is built on it, and of others for any more
LINES = {
    "actor": style.METHODS["bsrp_lag"],
    "planner": style.METHODS["osrp_lag"],
    "planner, no filter": style.METHODS["cem"],
    "planner, no cost critic": style.METHODS["lambda"],
    "planner, no filter, no cost critic": style.METHODS["safe_slac"],
}
MORE = ("osrp", "dreamerv3", "ppo_lag", "cpo")
METRICS = ("return", "cost")
MULTIPLIERS = ("none", "augmented", "PID")
# light to dark, so that the order shows in greyscale
HORIZON_COLORS = ("#A6CEE3", "#3182BD", "#08306B")
ITERATION_MARKERS = ("o", "s", "^", "D", "v")
# the percentile interval of 100 %: error bars are the range over seeds
RANGE = {"errorbar": ("pi", 100), "err_style": "bars", "err_kws": {"elinewidth": 1.0}}
SYMLOG_ABOVE = 2.0


def contribution(scores: pd.DataFrame) -> Figure:
    """Means of every combination of parts, then main effects and interaction.

    One row each for return and cost. Raises ValueError when no run's parts are known.
    """
    tables = {metric: cells(scores, metric) for metric in METRICS}
    if any(table.empty for table in tables.values()):
        raise ValueError(
            "no run of ablation-planner-lagrangian, nor of the four methods it takes apart"
        )
    with style.context():
        figure = Figure(figsize=(style.PAGE, 4.4), layout="constrained")
        grid = figure.subplots(2, 2, width_ratios=(1.35, 1.0))
        drawn = looks_of(tables["return"]["acts"])
        for (left, right), (metric, table) in zip(grid, tables.items()):
            _interaction(left, table, drawn)
            left.set_ylabel(axis_label(metric), fontsize=7.5)
            _effects(right, scores, metric)
        grid[1][0].set_xlabel("Lagrangian multiplier")
        if given := given_costs(scores):
            figure.suptitle(f"Costs: {given}", fontsize=8)
        handles = [look.handle(name) for name, look in drawn.items()]
        legend_below(figure, handles, columns=3, fontsize=7)
        return figure


def looks_of(acts: Iterable[str]) -> dict[str, style.MethodStyle]:
    """The look of every way of acting, in the order of LINES, others last."""
    more = sorted(set(acts) - set(LINES))
    looks = LINES | dict(zip(more, map(style.METHODS.__getitem__, itertools.cycle(MORE))))
    return {name: look for name, look in looks.items() if name in set(acts)}


def _interaction(axes: Axes, table: pd.DataFrame, looks: dict[str, style.MethodStyle]) -> None:
    """Interaction plot: lines that are not parallel interact."""
    there = [kind for kind in MULTIPLIERS if (table["multiplier"] == kind).any()]
    for shift, (name, look) in enumerate(looks.items()):
        mine = table[table["acts"] == name].set_index("multiplier").reindex(there)
        mine = mine.dropna(subset=["value"])
        # shifted sideways, so that intervals do not overlap
        x = np.array([there.index(kind) for kind in mine.index]) + 0.05 * (shift - 1.5)
        arms = np.stack([mine["value"] - mine["low"], mine["high"] - mine["value"]])
        arms = np.nan_to_num(np.maximum(arms, 0.0))
        mark = {"marker": look.marker, "color": look.color, "ls": look.line, "mec": "white"}
        axes.errorbar(x, mine["value"], yerr=arms, capsize=2, elinewidth=1, mew=0.5, **mark)
    axes.set_xticks(range(len(there)), there)
    axes.set_xlim(-0.35, len(there) - 0.65)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _effects(axes: Axes, scores: pd.DataFrame, metric: str) -> None:
    found = square(scores, metric)
    if found is None:
        text = "no task has all four of\nplanner and actor,\nwith and without multiplier"
        look = {"ha": "center", "va": "center", "fontsize": 7, "gid": "missing"}
        axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    table = effects(found, metric)
    places = np.arange(len(table))
    axes.barh(places, table["value"], height=0.55, color="#9AA5B1", gid="effect")
    axes.hlines(places, table["low"], table["high"], color="black", lw=1.2, gid="interval")
    axes.axvline(0.0, color=style.TEXT_COLOR, lw=0.8)
    axes.set_yticks(places, table["effect"])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    sure = "" if table["low"].notna().all() else "\ntoo few seeds for intervals"
    own = "multiplier of each method"
    kind = "augmented multiplier" if found.multiplier == "augmented" else own
    axes.set_xlabel(f"Effect, {plural(found.tasks, 'task')}, {kind}{sure}", fontsize=7)


def budget(table: pd.DataFrame) -> Figure:
    """Return, cost and milliseconds per action against the model steps per action.

    Points are means over the tasks that all budgets share and seeds, bars their range. Raises
    ValueError when no run names a planner budget.

    Args: table, of `analysis.statistics.ablations.budgets`.
    """
    import seaborn as sns  # local: the import takes seconds

    if table.empty:
        raise ValueError("no run of ablation-planner-budget")
    table = on_shared_tasks(table, ("candidates", "iterations", "horizon"))
    columns = {metric: axis_label(metric) for metric in METRICS}
    columns["act_ms"] = "Milliseconds per action ↓"
    horizons, iterations = sorted(table["horizon"].unique()), sorted(table["iterations"].unique())
    shades = {h: HORIZON_COLORS[min(i, len(HORIZON_COLORS) - 1)] for i, h in enumerate(horizons)}
    markers = {n: ITERATION_MARKERS[i % len(ITERATION_MARKERS)] for i, n in enumerate(iterations)}
    with style.context():
        figure = Figure(figsize=(style.PAGE, 2.6), layout="constrained")
        for axes, (metric, label) in zip(figure.subplots(1, 3), columns.items()):
            axes.set_xscale("log")
            measured = bool(table[metric].notna().any())
            if measured:
                sns.lineplot(
                    table, x="model_steps", y=metric, hue="horizon", style="iterations", ax=axes,
                    palette=shades, markers=markers, dashes=False, legend=False, lw=0.8, ms=4,
                    **RANGE,
                )  # fmt: skip
            else:
                look = {"transform": axes.transAxes, "ha": "center", "fontsize": 7}
                axes.text(0.5, 0.5, "not measured", gid="missing", **look)
            axes.set_ylabel(label, fontsize=7.5)
            axes.set_xlabel("Model steps per action")
            if metric == "act_ms" and measured:
                axes.set_yscale("log")
        handles = [Line2D([], [], color=shades[h], lw=2, label=f"horizon {h:g}") for h in horizons]
        grey = {"color": "#666666", "ls": ""}
        handles += [
            Line2D([], [], marker=markers[n], label=f"{n:g} iterations", **grey) for n in iterations
        ]
        legend_below(figure, handles, columns=6, fontsize=7, columnspacing=1.2)
        return figure


def cost_limits(table: pd.DataFrame) -> Figure:
    """Return and cost against the cost limit, a pair of panels per task.

    The dashed line marks cost = limit. Points are means over seeds, bars their range. Raises
    ValueError when no run names its cost limit.

    Args: table, of `analysis.statistics.ablations.limits`.
    """
    import seaborn as sns

    if table.empty:
        raise ValueError("no run of ablation-cost-limit")
    tasks = sorted(set(zip(table["task"], table["obs"])))
    looks = style.method_styles(table["method"])
    panels = [(*task, metric) for task in tasks for metric in METRICS]
    with style.context():
        rows = math.ceil(len(tasks) / 2)
        size = (style.PAGE, 2.1 * rows + 0.4)
        figure, grid = facets(table, panels, 4, size)
        for axes, (task, obs, metric) in zip(grid, panels):
            assert axes is not None
            here = table[(table["task"] == task) & (table["obs"] == obs)]
            sns.lineplot(
                here, x="cost_limit", y=metric, hue="method", style="method", ax=axes, lw=1.2, ms=4,
                palette={name: look.color for name, look in looks.items()}, legend=False,
                markers={name: look.marker for name, look in looks.items()},
                dashes={name: look.dashes for name, look in looks.items()}, **RANGE,
            )  # fmt: skip
            top = here["cost_limit"].max()
            style.symlog(axes, "x", SYMLOG_ABOVE, sorted(here["cost_limit"].unique()))
            axes.set_xlim(-0.3, top * 1.2 + 0.1)
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set_ylabel(axis_label(metric), fontsize=7)
            axes.set_xlabel("Cost limit", fontsize=7)
            if metric == "return":
                axes.set_title(task_label(task, obs), fontsize=8, loc="left")
                continue
            style.symlog(axes, "y", SYMLOG_ABOVE, [0, 1, 2, 5, 10, 20, 50, 100])
            axes.set_ylim(-0.3, 1.2 * max(top, here["cost"].max()))
            line = np.linspace(0.0, top, 200)
            axes.plot(line, line, gid="cost limit", **style.LIMIT_LINE)
        handles = [look.handle(ms=4, lw=1.2) for look in looks.values()]
        handles.append(Line2D([], [], label="cost equals limit", **style.LIMIT_LINE))
        legend_below(figure, handles, columns=4, fontsize=7)
        return figure
