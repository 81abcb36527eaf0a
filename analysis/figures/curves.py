"""Return and cost of every method against simulator steps, a pair of panels per task.

`curves` shows tasks in detail, with training episodes; `grid` shows many tasks on a page. Strong
lines are evaluations: the mean over runs with its 95 % Student-t band for three runs or more,
single runs otherwise. Faint lines are smoothed training episodes, dashed black lines cost limits.
Many methods on one task are spread over several rows of panels with the same axes. Data in, Figure
out, nothing saved.
"""

from __future__ import annotations

import dataclasses
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
from analysis.figures.facets import bands, cost_axis, facets, legend_beside, lines, rows_of
from analysis.results.frames import Results, Status
from analysis.results.judge import cost_limits
from analysis.results.labels import method_label, panel_title, plural
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.series import Kind, curve_lines

METRICS = ("return", "cost")
MARKERS = 20  # at most, on a line with many evaluations
NOTHING = "nothing to draw: no run names a task; see the list of runs for what is wrong with them"


@dataclasses.dataclass(frozen=True)
class CurvesConfig:
    """Layout of a figure of curves; sizes in inches, points for lines and text."""

    columns: int = 4  # tasks side by side, when there are several
    width: float = 7.2
    panel_height: float = 2.5
    # share of a run's training episodes averaged for the faint line; None: no faint line
    smooth_share: float | None = 0.1
    # for many panels: thin lines, small text, labels on the outer panels only
    small: bool = False


GRID = CurvesConfig(columns=5, width=style.PAGE, panel_height=0.83, smooth_share=None, small=True)


def curves(results: Results, title: str = "", data: pd.DataFrame | None = None) -> Figure:
    """All tasks and methods of `results` in detail.

    Runs without records are named in their task's panel. `data` are the `curve_lines` of the
    results, if computed already. Raises ValueError when no run names a task.
    """
    return _figure(results, None, None, CurvesConfig(), title, data)


def grid(
    results: Results,
    tasks: Sequence[tuple[str, str]] | None = None,
    methods: Sequence[str] | None = None,
    config: CurvesConfig = GRID,
    data: pd.DataFrame | None = None,
) -> Figure:
    """Small panels of `tasks`, (task, observation) pairs, with lines of `methods`, labels; all of
    them by default.

    A task or method without any run keeps its panel or its entry in the legend; a panel states how
    many of its runs are missing. Raises ValueError when there is no task.
    """
    return _figure(results, tasks, methods, config, "", data)


def _figure(
    results: Results,
    tasks: Sequence[tuple[str, str]] | None,
    methods: Sequence[str] | None,
    config: CurvesConfig,
    title: str,
    data: pd.DataFrame | None,
) -> Figure:
    runs = results.runs[results.runs["task"] != ""]
    tasks = sorted(set(zip(runs["task"], runs["obs"]))) if tasks is None else list(tasks)
    if not tasks:
        raise ValueError(NOTHING)
    looks = style.method_styles(runs["label"] if methods is None else methods)
    runs = runs[runs["label"].isin(looks)]
    if data is None:
        data = curve_lines(results._replace(runs=runs), config.smooth_share)
    if config.smooth_share is None:
        data = data[data["kind"] != Kind.TRAINING]
    with style.context():
        if len(tasks) == 1 and not config.small:
            return _one_task(runs, tasks[0], looks, config, title, data)
        figure, pairs = _panels(data, tasks, config, entries=len(looks) + 1)
        for place, ((task, obs), pair) in enumerate(zip(tasks, pairs)):
            here = runs[(runs["task"] == task) & (runs["obs"] == obs)]
            mine = data[(data["task"] == task) & (data["obs"] == obs)]
            limits = cost_limits(here, task, obs)
            for axes, metric in zip(pair, METRICS):
                _draw(axes, mine[mine["metric"] == metric], looks, config)
            cost_axis(pair[1], limits)
            bottom = not config.small or place + min(config.columns, len(tasks)) >= len(tasks)
            first = not config.small or place % config.columns == 0
            _label(pair, config, first=first)
            pair[1].set_xlabel("Simulator steps" if bottom else "")
            heading = panel_title(task, obs, limits)
            small = {"fontsize": 6.5, "pad": 3} if config.small else {}
            # two lines, because a small panel is narrower than its title
            text = heading.replace(" (", "\n(") if config.small else heading
            pair[0].set_title(text, **small)
            _name_missing(pair, here, config)
        if title:
            figure.suptitle(title, fontsize=10, fontweight="bold")
        handles = [*_method_handles(runs, looks, config), *_mark_handles(figure, data, config)]
        _legend(figure, handles, config)
        return figure


def _one_task(
    runs: pd.DataFrame,
    task: tuple[str, str],
    looks: dict[str, style.MethodStyle],
    config: CurvesConfig,
    title: str,
    data: pd.DataFrame,
) -> Figure:
    """Return beside cost, in as many rows of panels as the methods need."""
    runs = runs[(runs["task"] == task[0]) & (runs["obs"] == task[1])]
    data = data[(data["task"] == task[0]) & (data["obs"] == task[1])]
    limits = cost_limits(runs, *task)
    groups = rows_of(looks)
    height = config.panel_height if len(groups) == 1 else 0.75 * config.panel_height
    size = (config.width, len(groups) * height + 1.1)
    figure, axes = facets(data, METRICS * len(groups), 2, size)
    pairs: list[tuple[Axes, Axes]] = list(zip(axes[::2], axes[1::2]))  # type: ignore[arg-type]
    for pair, group in zip(pairs, groups):
        mine = data[data["method"].isin(group)]
        for one, first, metric in zip(pair, pairs[0], METRICS):
            if one is not first:
                one.sharey(first)
            _draw(one, mine[mine["metric"] == metric], group, config)
    for pair, group in zip(pairs, groups):
        cost_axis(pair[1], limits)
        _label(pair, config, first=True)
        for one in pair:
            one.set_xlabel("Simulator steps" if pair is pairs[-1] else "")
        here = runs[runs["label"].isin(group)]
        _name_missing(pair, here, config)
        if len(groups) > 1:
            legend_beside(pair[1], _method_handles(here, group, config))
    figure.suptitle(title or panel_title(*task, limits), fontsize=10, fontweight="bold")
    methods = _method_handles(runs, looks, config) if len(groups) == 1 else []
    _legend(figure, [*methods, *_mark_handles(figure, data, config)], config)
    return figure


def _panels(
    data: pd.DataFrame,
    tasks: Sequence[tuple[str, str]],
    config: CurvesConfig,
    entries: int,
) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """(return, cost) axes of each task, one above the other."""
    count = len(tasks)
    rows = math.ceil(count / config.columns)
    columns = min(config.columns, count) if config.small else math.ceil(count / rows)
    width, height = max(config.width, 2.3 * columns), 1.7 * rows * config.panel_height + 0.9
    if config.small:
        width = {1: style.COLUMN, 2: 5.0}.get(columns, config.width)
        legend_rows = math.ceil(entries / _legend_columns(width, config))
        height = rows * (2 * config.panel_height + 0.4) + 0.17 * legend_rows + 0.35
    places: list[int | None] = []
    for row in range(rows):
        tops = [
            place if place < count else None for place in range(row * columns, (row + 1) * columns)
        ]
        places += [*tops, *tops]
    figure, axes = facets(data, places, columns, (width, height))
    if config.small:
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, hspace=0.02, wspace=0.03)  # type: ignore[union-attr]
    found: dict[int, list[Axes]] = {}
    for place, one in zip(places, axes):
        if place is not None and one is not None:
            found.setdefault(place, []).append(one)
    return figure, [(found[place][0], found[place][1]) for place in range(count)]


def _draw(
    axes: Axes, data: pd.DataFrame, looks: dict[str, style.MethodStyle], config: CurvesConfig
) -> None:
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
    size = {"ms": 3.0, "mew": 0.25} if config.small else {"ms": 4.5, "mew": 0.5}
    widths = {Kind.MEAN: 1.0, Kind.RUN: 0.9} if config.small else {Kind.MEAN: 1.6, Kind.RUN: 1.6}
    for kind, width in widths.items():
        mine = data[data["kind"] == kind]
        most = mine.groupby(["method", "line"]).size().max() if len(mine) else 1
        every = max(1, math.ceil(most / (6 if config.small else MARKERS)))
        lines(axes, mine, looks, lw=width, zorder=4, gid=kind.value, markevery=every, **size)
    rest = data[data["kind"] == Kind.REST]
    lines(axes, rest, looks, markers=False, lw=0.8, zorder=4, gid=Kind.REST.value)


def _label(pair: tuple[Axes, Axes], config: CurvesConfig, *, first: bool) -> None:
    ticks = 3 if config.small else 6
    for axes, metric in zip(pair, METRICS):
        name = metric.capitalize() if config.small else f"Episode {metric}"
        if metric == "cost" and axes.get_yscale() == "symlog" and not config.small:
            name += f" (log above {axes.yaxis.get_transform().linthresh:g})"  # type: ignore[attr-defined]
        axes.set_ylabel(name if first else "")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
        if config.small:
            axes.tick_params(labelsize=6, pad=1.5, length=2)
            axes.yaxis.label.set_fontsize(7)
            axes.xaxis.label.set_fontsize(7)
    top = pair[0]
    top.yaxis.set_major_locator(MaxNLocator(ticks + 1, steps=[1, 2, 5, 10]))
    if config.small:
        top.tick_params(labelbottom=False)
    if not top.lines:  # no run of this task has records
        for axes in pair:
            axes.set_xticks([])


def _name_missing(pair: tuple[Axes, Axes], runs: pd.DataFrame, config: CurvesConfig) -> None:
    """Name in the panel the runs of its task without records, or without evaluations if others
    have some.
    """
    counted = runs[runs["status"] != Status.DUPLICATE]
    place = {"va": "top", "gid": "missing", "color": style.WARNING_COLOR}
    if config.small and not pair[0].lines:
        for axes in pair:
            axes.set_yticks([])
            look = {"transform": axes.transAxes, "fontsize": 7, "gid": "missing"}
            axes.text(0.5, 0.5, "no runs", ha="center", va="center", **look)
        return
    if config.small:
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
        size = 6 if config.small else 7
        pair[0].text(0.02, 0.98, text, transform=pair[0].transAxes, fontsize=size, **place)


def _legend_columns(width: float, config: CurvesConfig) -> int:
    if config.small:
        return {style.COLUMN: 1, 5.0: 2}.get(width, 4)
    return 3 if width >= 6 else 2


def _method_handles(
    runs: pd.DataFrame, looks: dict[str, style.MethodStyle], config: CurvesConfig
) -> list[Artist]:
    """One entry per method with the number of its seeds."""
    handles: list[Artist] = []
    for method, look in looks.items():
        mine = runs[(runs["label"] == method) & runs["used"]]
        seeds = mine.groupby(["task", "obs"])["seed"].nunique()
        low, high = (int(seeds.min()), int(seeds.max())) if len(seeds) else (0, 0)
        count = plural(high, "seed") if low == high else f"{low} to {high} seeds"
        size = {"lw": 1.2, "ms": 3.5} if config.small else {"ms": 4.5, "lw": 1.6}
        handles.append(look.handle(f"{look.label}, {count}", **size))
    return handles


def _mark_handles(figure: Figure, data: pd.DataFrame, config: CurvesConfig) -> list[Artist]:
    """Legend entries of the other marks that were drawn."""
    handles: list[Artist] = []
    grey = {"color": "#888888"}
    if not config.small:
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


def _legend(figure: Figure, handles: list[Artist], config: CurvesConfig) -> None:
    figure.legend(
        handles=handles, loc="outside lower center", fontsize=7 if config.small else 8,
        ncols=min(len(handles), _legend_columns(figure.get_figwidth(), config)), columnspacing=1.2,
    )  # fmt: skip
