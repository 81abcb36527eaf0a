"""Return and cost of every method on many tasks at once.

One small pair of panels per task, a page wide. Data in, Figure out.

Lines are evaluations, the mean over runs with its 95 % Student-t band from three runs on, the
single runs below that; training episodes are left to `analysis.figures.curves`. A panel names the
runs that are missing from it by their number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.figures import style
from analysis.figures.curves import CurvesConfig, cost_axis
from analysis.figures.overall import strong
from analysis.read.labels import task_label
from analysis.read.results import Results, cost_limits, usable
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.series import band, evaluation_points

LIMIT_LINE = {"color": style.LIMIT_COLOR, "lw": 1.1, "ls": (0, (4, 3))}


@dataclasses.dataclass(frozen=True)
class GridConfig:
    """Layout; sizes in inches."""

    columns: int = 5  # tasks side by side
    panel_height: float = 0.83  # of one of a task's two panels

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"columns={self.columns} must be at least 1")


def grid(
    results: Results,
    tasks: Sequence[tuple[str, str]] | None = None,
    methods: Sequence[str] | None = None,
    config: GridConfig | None = None,
) -> Figure:
    """Panels of `tasks`, pairs of task and observation (all, if not given), with lines of
    `methods`, by label (likewise).

    A task or method without any run keeps its panel and its entry in the legend. Raises ValueError
    when there is no task.
    """
    config = config or GridConfig()
    runs = results.runs[results.runs["task"] != ""]
    tasks = sorted(set(zip(runs["task"], runs["obs"]))) if tasks is None else list(tasks)
    if not tasks:
        raise ValueError(
            "nothing to draw: no run names a task; see the list of runs for what is wrong with them"
        )
    names = list(methods) if methods is not None else list(dict.fromkeys(runs["label"]))
    runs = runs[runs["label"].isin(names)]
    looks = style.method_styles(names)
    points = evaluation_points(usable(results))
    label_of = runs.set_index("run")["label"]
    points = points[points["run"].isin(label_of.index)]
    by_run = dict(list(points.groupby("run")))
    with style.context():
        columns = min(config.columns, len(tasks))
        rows = math.ceil(len(tasks) / columns)
        figure = Figure(layout="constrained")
        width, legend_columns = {1: (style.COLUMN, 1), 2: (5.0, 2)}.get(columns, (style.PAGE, 4))
        legend_rows = math.ceil((len(looks) + 1) / legend_columns)
        figure.set_size_inches(
            width, rows * (2 * config.panel_height + 0.3) + 0.17 * legend_rows + 0.35
        )
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, hspace=0.02, wspace=0.03)
        places = figure.add_gridspec(2 * rows, columns)
        for index, (task, obs) in enumerate(tasks):
            r, c = divmod(index, columns)
            pair = figure.add_subplot(places[2 * r, c]), figure.add_subplot(places[2 * r + 1, c])
            here = runs[(runs["task"] == task) & (runs["obs"] == obs)]
            for label, look in looks.items():
                mine = [
                    by_run[run] for run in here.loc[here["label"] == label, "run"] if run in by_run
                ]
                for axes, column in zip(pair, ("return", "cost")):
                    _lines(axes, mine, column, look)
            cost_axis(pair[1], cost_limits(here, task, obs), CurvesConfig())
            last = index + columns >= len(tasks)
            _finish(
                pair,
                task_label(task, obs),
                first=c == 0,
                last=last,
                empty=not pair[0].lines,
                missing=_missing(here),
            )
        _legend(figure, looks, runs, legend_columns)
        return figure


def _lines(axes: Axes, runs: Sequence[pd.DataFrame], column: str, look: style.MethodStyle) -> None:
    shared = band(pd.concat(runs), column) if len(runs) >= MIN_RUNS else None
    if shared is None or not len(shared.env_steps):
        for run in runs:
            axes.plot(
                run["env_steps"], run[column], gid="run", **(strong(look, len(run)) | {"lw": 0.9})
            )
        return
    # costs are never negative
    low = np.maximum(shared.low, 0.0) if column == "cost" else shared.low
    axes.fill_between(
        shared.env_steps, low, shared.high, color=look.color, alpha=0.15, lw=0, gid="band"
    )
    axes.plot(
        shared.env_steps,
        shared.mean,
        gid="mean",
        **(strong(look, len(shared.env_steps)) | {"lw": 1.0, "ms": 3.0, "mew": 0.25}),
    )


def _missing(runs: pd.DataFrame) -> int:
    """Runs that were meant and have no evaluation."""
    return int(((runs["eval_episodes"] == 0) & (runs["status"] != "duplicate")).sum())


def _finish(
    pair: tuple[Axes, Axes], title: str, *, first: bool, last: bool, empty: bool, missing: int
) -> None:
    top, bottom = pair
    top.set_title(title, fontsize=6.5, pad=3)
    for axes in pair:
        axes.set_xlim(left=0)
        axes.tick_params(labelsize=6, pad=1.5, length=2)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        if empty:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.text(
                0.5,
                0.5,
                "no runs",
                transform=axes.transAxes,
                ha="center",
                va="center",
                fontsize=7,
                gid="missing",
            )
    top.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    top.tick_params(labelbottom=False)
    if missing and not empty:
        text = f"{missing} run{'' if missing == 1 else 's'} missing"
        top.text(
            0.03,
            0.97,
            text,
            transform=top.transAxes,
            va="top",
            fontsize=6,
            color=style.WARNING_COLOR,
            gid="missing",
        )
    if first:
        top.set_ylabel("Return", fontsize=7)
        bottom.set_ylabel("Cost", fontsize=7)
    if last:
        bottom.set_xlabel("Simulator steps", fontsize=7)


def _legend(
    figure: Figure, looks: dict[str, style.MethodStyle], runs: pd.DataFrame, columns: int
) -> None:
    handles = []
    for label, look in looks.items():
        seeds = (
            runs.loc[(runs["label"] == label) & runs["used"]]
            .groupby(["task", "obs"])["seed"]
            .nunique()
        )
        low, high = (int(seeds.min()), int(seeds.max())) if len(seeds) else (0, 0)
        count = f"{low}" if low == high else f"{low} to {high}"
        mark = {
            "color": look.color,
            "ls": look.line,
            "lw": 1.2,
            "marker": look.marker,
            "ms": 3.5,
            "mec": "white",
            "mew": 0.4,
        }
        handles.append(
            Line2D([], [], label=f"{look.label} ({count} seed{'' if high == 1 else 's'})", **mark)
        )
    if any(line.get_gid() == "cost limit" for axes in figure.axes for line in axes.lines):
        handles.append(Line2D([], [], label="cost limit", **LIMIT_LINE))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, fontsize=7, columnspacing=1.2
    )
