"""Reward and cost of every method against simulator steps, a pair of panels per task.

Data in, Figure out, nothing saved.

Markers and strong lines are evaluations: the mean over runs with its 95 % Student-t band from three
runs on, the single runs below that. Faint lines are training episodes, smoothed. The dashed black
line is the cost limit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from analysis.figures import style
from analysis.read.labels import method_label, task_label
from analysis.read.load import Results, cost_limits, usable
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.series import band, evaluation_points, training_points
from benchmarks.runs.records import EVAL, TRAIN

MANY_POINTS = 40  # evaluations per line from which on markers would only thicken it


@dataclasses.dataclass(frozen=True)
class CurvesConfig:
    """Layout of the figure; sizes in inches, fit for the text width of a page."""

    columns: int = 4  # tasks side by side, when there are several
    width: float = 7.2
    panel_height: float = 2.5
    smooth_share: float = 0.1  # of a run's training episodes, averaged for the faint line
    # largest cost over smallest limit (at least 1) beyond which the cost axis turns logarithmic
    log_cost_ratio: float = 8.0

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"columns={self.columns} must be at least 1")
        if not 0.0 <= self.smooth_share <= 1.0:
            raise ValueError(f"smooth_share={self.smooth_share} must lie in 0..1")


def curves(results: Results, config: CurvesConfig | None = None, title: str = "") -> Figure:
    """The figure for all tasks and methods of `results`.

    Runs without records are named in their task's panel.

    Raises ValueError when no run of the results names a task.
    """
    config = config or CurvesConfig()
    runs = results.runs[results.runs["task"] != ""]
    tasks = sorted(set(zip(runs["task"], runs["obs"])))
    if not tasks:
        raise ValueError(
            "nothing to draw: no run names a task; see the list of runs for what is wrong with them"
        )
    episodes = usable(results)
    with style.context():
        styles = style.method_styles(runs["method"])
        figure = Figure(layout="constrained")
        for (task, obs), (reward_axes, cost_axes) in zip(
            tasks, _panels(figure, len(tasks), config)
        ):
            here = runs[(runs["task"] == task) & (runs["obs"] == obs)]
            data = episodes[episodes["run"].isin(here["run"])]
            limits = cost_limits(runs, task, obs)
            for method, look in styles.items():
                mine = data[data["run"].isin(here.loc[here["method"] == method, "run"])]
                training, evaluation = (
                    training_points(mine, config.smooth_share),
                    evaluation_points(mine),
                )
                for axes, column in ((reward_axes, "return"), (cost_axes, "cost")):
                    _draw_training(axes, training, column, look, alone=evaluation.empty)
                    if not evaluation.empty:
                        _draw_evaluation(axes, evaluation, column, look)
            cost_axis(cost_axes, limits, config)
            _label_panels(reward_axes, cost_axes, task_label(task, obs), single=len(tasks) == 1)
            _name_missing(reward_axes, here)
        if title or len(tasks) == 1:
            figure.suptitle(title or task_label(*tasks[0]), fontsize=10, fontweight="bold")
        handles = _legend(figure, runs, styles, episodes)
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(len(handles), 3 if config.width >= 6 else 2),
        )
        return figure


def _panels(figure: Figure, count: int, config: CurvesConfig) -> list[tuple[Axes, Axes]]:
    """(reward, cost) axes of each task.

    Side by side for one task, else above each other, at most `columns` tasks in a row.
    """
    if count == 1:
        figure.set_size_inches(config.width, config.panel_height + 1.1)
        left, right = figure.subplots(1, 2)
        return [(left, right)]
    rows = math.ceil(count / config.columns)
    columns = math.ceil(count / rows)  # 5 tasks: 3 and 2, not 4 and 1
    figure.set_size_inches(
        max(config.width, 2.3 * columns), 2 * rows * 0.85 * config.panel_height + 0.9
    )
    grid = figure.add_gridspec(2 * rows, columns)
    places = [divmod(index, columns) for index in range(count)]
    return [
        (figure.add_subplot(grid[2 * r, c]), figure.add_subplot(grid[2 * r + 1, c]))
        for r, c in places
    ]


def _draw_training(
    axes: Axes, points: pd.DataFrame, column: str, look: style.MethodStyle, alone: bool
) -> None:
    """One line per run: faint, more so where many runs would drown the rest, unless it is all there
    is to see.
    """
    alpha = 0.9 if alone else 0.3 if points["run"].nunique() < MIN_RUNS else 0.15
    for _, line in points.groupby("run"):
        axes.plot(
            line["env_steps"],
            line[column],
            color=look.color,
            lw=0.9,
            alpha=alpha,
            zorder=2,
            gid="training",
        )


def _draw_evaluation(
    axes: Axes, points: pd.DataFrame, column: str, look: style.MethodStyle
) -> None:
    """A band from MIN_RUNS runs on, with the single runs where not all of them reach.

    Otherwise the single runs.
    """
    runs = [run for _, run in points.groupby("run")]
    marker = look.marker if len(set(points["env_steps"])) <= MANY_POINTS else "None"
    strong = {
        "color": look.color,
        "linestyle": look.line,
        "marker": marker,
        "mec": "white",
        "mew": 0.5,
        "zorder": 4,
    }
    shared = band(points, column) if len(runs) >= MIN_RUNS else None
    if shared is None or not len(shared.env_steps):
        for run in runs:
            axes.plot(run["env_steps"], run[column], gid="run", **strong)
        return
    # costs are never negative
    low = np.maximum(shared.low, 0.0) if column == "cost" else shared.low
    axes.fill_between(
        shared.env_steps, low, shared.high, color=look.color, alpha=0.16, lw=0, zorder=3, gid="band"
    )
    axes.plot(shared.env_steps, shared.mean, gid="mean", **strong)
    thin = strong | {"lw": 0.8, "marker": "None"}
    for run in runs:  # what only some runs reached: not part of the mean
        for rest in (
            run[run["env_steps"] <= shared.env_steps[0]],
            run[run["env_steps"] >= shared.env_steps[-1]],
        ):
            if len(rest) > 1:
                axes.plot(rest["env_steps"], rest[column], gid="rest", **thin)


def cost_axis(axes: Axes, limits: tuple[float, ...], config: CurvesConfig) -> None:
    """Limit lines, and a scale on which a limit of 2 and the costs of an unsafe method can both be
    read.
    """
    for limit in limits:
        axes.axhline(
            limit, color=style.LIMIT_COLOR, lw=1.1, ls=(0, (4, 3)), zorder=5, gid="cost limit"
        )
    drawn = np.concatenate(
        [[1.0], *(np.asarray(line.get_ydata(), dtype=float) for line in axes.lines)]
    )
    top = drawn[np.isfinite(drawn)].max()
    linear = max(1.0, *limits) if limits else 1.0
    if limits and top > config.log_cost_ratio * linear:
        axes.set_yscale("symlog", linthresh=linear, linscale=0.6)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        # below zero, so that a line at zero is not hidden by the axis
        axes.set_ylim(-0.12 * linear, top * 1.6)
        ticks = [
            0.0,
            linear,
            *(
                t
                for decade in range(5)
                for t in (2 * 10**decade, 5 * 10**decade, 10 ** (decade + 1))
            ),
        ]
        axes.set_yticks(
            [t for t in dict.fromkeys(ticks) if t == 0 or linear <= t <= top * 1.6], minor=False
        )
        axes.set_yticks([], minor=True)
    else:
        axes.set_ylim(-0.04 * top, top * 1.08)


def _label_panels(reward_axes: Axes, cost_axes: Axes, name: str, single: bool) -> None:
    for axes, label in ((reward_axes, "Episode return"), (cost_axes, "Episode cost")):
        axes.set_ylabel(label)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        if not reward_axes.lines:  # no run of this task has records
            axes.set_xticks([])
    reward_axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if cost_axes.get_yscale() == "symlog":
        cost_axes.set_ylabel(
            f"Episode cost (log above {cost_axes.yaxis.get_transform().linthresh:g})"
        )
    cost_axes.set_xlabel("Simulator steps")
    if single:
        reward_axes.set_xlabel("Simulator steps")
    else:
        reward_axes.set_title(name)


def _name_missing(axes: Axes, runs: pd.DataFrame) -> None:
    """Says in the panel which runs of its task lack records, or evaluations that others have, so
    that the gap is seen.
    """
    empty = (runs["train_episodes"] == 0) & (runs["eval_episodes"] == 0)
    unjudged = ~empty & (runs["eval_episodes"] == 0) & (runs["eval_episodes"].max() > 0)
    blocks = []
    for what, lost in (("no records", runs[empty]), ("no evaluations", runs[unjudged])):
        names = [f"{method_label(m)} seed {s}" for m, s in zip(lost["method"], lost["seed"])]
        blocks += ["\n".join([f"{what}:", *names])] if names else []
    if blocks:
        text = "\n".join(blocks)
        axes.text(
            0.02,
            0.98,
            text,
            transform=axes.transAxes,
            va="top",
            fontsize=7,
            color="#B00020",
            gid="missing",
        )


def _legend(
    figure: Figure,
    runs: pd.DataFrame,
    styles: Mapping[str, style.MethodStyle],
    episodes: pd.DataFrame,
) -> list[Artist]:
    """One entry per method with the number of its seeds, then what the other marks mean, as far as
    they were drawn.
    """
    handles: list[Artist] = []
    for method, look in styles.items():
        count = int(runs.loc[(runs["method"] == method) & runs["used"], "seed"].nunique())
        label = f"{look.label}, {count} seed{'' if count == 1 else 's'}"
        handles.append(
            Line2D(
                [],
                [],
                mec="white",
                mew=0.5,
                label=label,
                color=look.color,
                ls=look.line,
                marker=look.marker,
            )
        )
    if (episodes["split"] == EVAL).any():
        handles.append(
            Line2D([], [], color="#888888", marker="o", mec="white", mew=0.5, label="evaluation")
        )
    if (episodes["split"] == TRAIN).any():
        handles.append(
            Line2D([], [], color="#888888", lw=0.9, alpha=0.6, label="training episodes, smoothed")
        )
    if any(artist.get_gid() == "band" for axes in figure.axes for artist in axes.collections):
        handles.append(Patch(color="#888888", alpha=0.3, lw=0, label="95 % interval"))
    limits = {
        limit
        for task, obs in set(zip(runs["task"], runs["obs"]))
        for limit in cost_limits(runs, task, obs)
    }
    if limits:
        label = f"cost limit {limits.pop():g}" if len(limits) == 1 else "cost limit"
        handles.append(Line2D([], [], color=style.LIMIT_COLOR, lw=1.1, ls=(0, (4, 3)), label=label))
    return handles
