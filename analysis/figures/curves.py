"""Return and cost of every method against simulator steps, a pair of panels per task.

`curves` shows tasks in detail, with training episodes; `grid` shows many tasks on a page. Strong
lines are evaluations: the mean over runs with its 95 % Student-t band for three runs or more,
single runs otherwise. Faint lines are smoothed training episodes, dashed black lines cost limits.
Many methods on one task are spread over several rows of panels with the same axes. Data in, Figure
out, nothing saved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.figures import style
from analysis.figures.facets import (
    bands,
    cost_axis,
    facets,
    legend_below,
    legend_beside,
    lines,
    rows_of,
)
from analysis.results.frames import Results, Status
from analysis.results.judge import cost_limits
from analysis.results.labels import method_label, panel_title, plural
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.series import Kind, curve_lines

METRICS = ("return", "cost")
MARKERS = 20  # at most, on a line with many evaluations
SMOOTH_SHARE = 0.1  # of a run's training episodes, averaged for the faint line
COLUMNS, SMALL_COLUMNS = 4, 5  # tasks side by side
WIDTH, HEIGHT = 7.2, 2.5  # inches of a figure of one task, and of its panels
SMALL_HEIGHT = 0.83
LEGEND_COLUMNS = {style.COLUMN: 1, 5.0: 2, style.PAGE: 4}  # by the width of a figure; else 3
NOTHING = "nothing to draw: no run names a task; see the list of runs for what is wrong with them"


def curves(results: Results, title: str = "", data: pd.DataFrame | None = None) -> Figure:
    """All tasks and methods of `results` in detail.

    Runs without records are named in their task's panel. `data` are the `curve_lines` of the
    results, if computed already. Raises ValueError when no run names a task.
    """
    return _figure(results, None, None, data, title)


def grid(
    results: Results,
    tasks: Sequence[tuple[str, str]] | None = None,
    methods: Sequence[str] | None = None,
    data: pd.DataFrame | None = None,
    panel_height: float = SMALL_HEIGHT,
) -> Figure:
    """Small panels of `tasks`, (task, observation) pairs, with lines of `methods`, labels; all of
    them by default. They have thin lines, small text, and labels on the outer panels only.

    A task or method without any run keeps its panel or its entry in the legend; a panel states how
    many of its runs are missing. Raises ValueError when there is no task.
    """
    return _figure(results, tasks, methods, data, "", panel_height)


def _figure(
    results: Results,
    tasks: Sequence[tuple[str, str]] | None,
    methods: Sequence[str] | None,
    data: pd.DataFrame | None,
    title: str,
    small_height: float | None = None,
) -> Figure:
    """A figure of small panels of this height; None: of panels in detail."""
    runs = results.runs[results.runs["task"] != ""]
    tasks = sorted(set(zip(runs["task"], runs["obs"]))) if tasks is None else list(tasks)
    if not tasks:
        raise ValueError(NOTHING)
    looks = style.method_styles(runs["label"] if methods is None else methods)
    runs = runs[runs["label"].isin(looks)]
    small = small_height is not None
    if data is None:
        data = curve_lines(results._replace(runs=runs), None if small else SMOOTH_SHARE)
    if small:
        data = data[data["kind"] != Kind.TRAINING]
    alone = len(tasks) == 1 and not small
    groups = rows_of(looks) if alone else [looks]
    panels = [(task, group) for task in tasks for group in groups]
    with style.context():
        if alone:
            figure, pairs = _beside(data, len(groups))
        else:
            figure, pairs = _stacked(data, len(tasks), small_height, entries=len(looks) + 1)
        for ((task, obs), group), pair in zip(panels, pairs):
            mine = data[(data["task"] == task) & (data["obs"] == obs)]
            mine = mine[mine["method"].isin(group)]
            for axes, metric in zip(pair, METRICS):
                _draw(axes, mine[mine["metric"] == metric], group, small)
        for place, (((task, obs), group), pair) in enumerate(zip(panels, pairs)):
            here = runs[(runs["task"] == task) & (runs["obs"] == obs)]
            limits = cost_limits(here, task, obs)
            cost_axis(pair[1], limits)
            _label(pair, small, first=not small or place % SMALL_COLUMNS == 0)
            _name_missing(pair, here[here["label"].isin(group)], small)
            heading = panel_title(task, obs, limits)
            if alone:
                for axes in pair:
                    axes.set_xlabel("Simulator steps" if pair is pairs[-1] else "")
                if len(groups) > 1:
                    legend_beside(pair[1], _method_handles(here, group, small))
                title = title or heading
                continue
            below = place + min(SMALL_COLUMNS, len(tasks)) < len(tasks)  # there is another panel
            pair[1].set_xlabel("" if small and below else "Simulator steps")
            # two lines, because a small panel is narrower than its title
            text = heading.replace(" (", "\n(") if small else heading
            pair[0].set_title(text, **({"fontsize": 6.5, "pad": 3} if small else {}))
        if title:
            figure.suptitle(title, fontsize=10, fontweight="bold")
        handles = _method_handles(runs, looks, small) if len(groups) == 1 else []
        handles += _mark_handles(figure, data, small)
        columns = LEGEND_COLUMNS.get(figure.get_figwidth(), 3)
        legend_below(figure, handles, columns, fontsize=7 if small else 8, columnspacing=1.2)
        return figure


def _beside(data: pd.DataFrame, rows: int) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Rows of (return, cost) axes with shared scales, for the methods of one task."""
    height = HEIGHT if rows == 1 else 0.75 * HEIGHT
    figure, axes = facets(data, METRICS * rows, 2, (WIDTH, rows * height + 1.1))
    for place, one in enumerate(axes[2:]):
        one.sharey(axes[place % 2])
    return figure, list(zip(axes[::2], axes[1::2]))


def _stacked(
    data: pd.DataFrame, count: int, small_height: float | None, entries: int
) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """(return, cost) axes of each of `count` tasks, one above the other.

    Args: entries, of the legend below small panels.
    """
    if small_height is None:
        rows = math.ceil(count / COLUMNS)
        columns = math.ceil(count / rows)
        size = (max(WIDTH, 2.3 * columns), 1.7 * rows * HEIGHT + 0.9)
    else:
        rows, columns = math.ceil(count / SMALL_COLUMNS), min(SMALL_COLUMNS, count)
        width = {1: style.COLUMN, 2: 5.0}.get(columns, style.PAGE)
        legend_rows = math.ceil(entries / LEGEND_COLUMNS[width])
        size = (width, rows * (2 * small_height + 0.4) + 0.17 * legend_rows + 0.35)
    places = [*range(count), *[None] * (rows * columns - count)]
    panels = [p for row in range(rows) for p in 2 * places[row * columns : (row + 1) * columns]]
    figure, axes = facets(data, panels, columns, size)
    if small_height is not None:
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, hspace=0.02, wspace=0.03)  # type: ignore[union-attr]
    tops = [place + columns * (place // columns) for place in range(count)]
    return figure, [(axes[top], axes[top + columns]) for top in tops]


def _draw(axes: Axes, data: pd.DataFrame, looks: dict[str, style.MethodStyle], small: bool) -> None:
    """Draw faint training lines, then means with bands, or single runs.

    Training lines are fainter for many runs, and stronger for a method with at most one evaluation.
    """
    training = data[data["kind"] == Kind.TRAINING]
    judged = data[data["kind"] != Kind.TRAINING].groupby("method")["env_steps"].nunique()
    many = training.groupby("method")["line"].nunique() >= MIN_RUNS
    strength = {0: 0.9, 1: 0.5}  # number of evaluations -> opacity
    alpha = {m: strength.get(judged.get(m, 0), 0.15 if many[m] else 0.3) for m in many.index}
    faint = {name: look._replace(line=style.SOLID) for name, look in looks.items()}
    for value, mine in training.groupby(training["method"].map(alpha)):
        look = {"lw": 0.9, "alpha": value, "zorder": 2, "gid": Kind.TRAINING.value}
        lines(axes, mine, faint, markers=False, **look)
    bands(axes, data[data["kind"] == Kind.MEAN], looks)
    size = {"ms": 3.0, "mew": 0.25} if small else {"ms": 4.5, "mew": 0.5}
    widths = {Kind.MEAN: 1.0, Kind.RUN: 0.9} if small else {Kind.MEAN: 1.6, Kind.RUN: 1.6}
    for kind, width in widths.items():
        mine = data[data["kind"] == kind]
        most = mine.groupby(["method", "line"]).size().max() if len(mine) else 1
        every = max(1, math.ceil(most / (6 if small else MARKERS)))
        lines(axes, mine, looks, lw=width, zorder=4, gid=kind.value, markevery=every, **size)
    rest = data[data["kind"] == Kind.REST]
    lines(axes, rest, looks, markers=False, lw=0.8, zorder=4, gid=Kind.REST.value)


def _label(pair: tuple[Axes, Axes], small: bool, *, first: bool) -> None:
    ticks = 3 if small else 6
    for axes, metric in zip(pair, METRICS):
        name = metric.capitalize() if small else f"Episode {metric}"
        if metric == "cost" and axes.get_yscale() == "symlog" and not small:
            name += f" (log above {axes.yaxis.get_transform().linthresh:g})"  # type: ignore[attr-defined]
        axes.set_ylabel(name if first else "")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
        if small:
            axes.tick_params(labelsize=6, pad=1.5, length=2)
            axes.yaxis.label.set_fontsize(7)
            axes.xaxis.label.set_fontsize(7)
    top = pair[0]
    top.yaxis.set_major_locator(MaxNLocator(ticks + 1, steps=[1, 2, 5, 10]))
    if small:
        top.tick_params(labelbottom=False)
    if not top.lines:  # no run of this task has records
        for axes in pair:
            axes.set_xticks([])


def _name_missing(pair: tuple[Axes, Axes], runs: pd.DataFrame, small: bool) -> None:
    """Name in the panel the runs of its task without records, or without evaluations if others
    have some.
    """
    place = {"va": "top", "gid": "missing", "color": style.WARNING_COLOR}
    if small and not pair[0].lines:
        for axes in pair:
            axes.set_yticks([])
            look = {"transform": axes.transAxes, "fontsize": 7, "gid": "missing"}
            axes.text(0.5, 0.5, "no runs", ha="center", va="center", **look)
        return
    if small:
        counted = runs[runs["status"] != Status.DUPLICATE]
        lost = int((counted["eval_episodes"] == 0).sum())
        text = f"{plural(lost, 'run')} missing" if lost else ""
    else:
        empty = (runs["train_episodes"] == 0) & (runs["eval_episodes"] == 0)
        unjudged = ~empty & (runs["eval_episodes"] == 0) & (runs["eval_episodes"].max() > 0)
        blocks = []
        for what, lost in (("no records", runs[empty]), ("no evaluations", runs[unjudged])):
            names = [f"{method_label(m)} seed {s}" for m, s in zip(lost["label"], lost["seed"])]
            blocks += ["\n".join([f"{what}:", *names])] if names else []
        text = "\n".join(blocks)
    if text:
        size = 6 if small else 7
        pair[0].text(0.02, 0.98, text, transform=pair[0].transAxes, fontsize=size, **place)


def _method_handles(
    runs: pd.DataFrame, looks: dict[str, style.MethodStyle], small: bool
) -> list[Artist]:
    """One entry per method with the number of its seeds."""
    handles: list[Artist] = []
    for method, look in looks.items():
        mine = runs[(runs["label"] == method) & runs["used"]]
        seeds = mine.groupby(["task", "obs"])["seed"].nunique()
        low, high = (int(seeds.min()), int(seeds.max())) if len(seeds) else (0, 0)
        count = plural(high, "seed") if low == high else f"{low} to {high} seeds"
        size = {"lw": 1.2, "ms": 3.5} if small else {"ms": 4.5, "lw": 1.6}
        handles.append(look.handle(f"{look.label}, {count}", **size))
    return handles


def _mark_handles(figure: Figure, data: pd.DataFrame, small: bool) -> list[Artist]:
    """Legend entries of the other marks that were drawn."""
    handles: list[Artist] = []
    grey = {"color": "#888888"}
    if not small:
        if (data["kind"] != Kind.TRAINING).any():
            handles.append(
                Line2D([], [], marker="o", mec="white", mew=0.5, label="evaluation", **grey)
            )
        if (data["kind"] == Kind.TRAINING).any():
            label = "training episodes, smoothed"
            handles.append(Line2D([], [], lw=0.9, alpha=0.6, label=label, **grey))
        if data["low"].notna().any():
            handles.append(Patch(alpha=0.3, lw=0, label="95 % interval", **grey))
    drawn = [line for axes in figure.axes for line in axes.lines if line.get_gid() == "cost limit"]
    if drawn:
        limits = {float(line.get_ydata()[0]) for line in drawn}  # type: ignore[index]
        label = f"cost limit {limits.pop():g}" if len(limits) == 1 else "cost limit"
        handles.append(Line2D([], [], label=label, **style.LIMIT_LINE))
    return handles
