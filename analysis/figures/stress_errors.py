"""Cost against the prediction errors of the world model that acted: does a planner's cost rise at
smaller errors than an actor's?

The frame of `analysis.statistics.stress.cost_and_errors` in, Figure out. A point is a cell of one
run; lines connect the strengths of a perturbation, starting from the undisturbed cell. Colour is
the method, marker the perturbation.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import style
from analysis.figures.facets import linear_cost_axis
from analysis.read.stress import UNDISTURBED
from analysis.results.labels import method_label, task_label

ERRORS = {
    "observation_error": "observation error (of the mean's)",
    "cost_error": "cost error (cost per agent step)",
}
START = {"ls": "none", "marker": "o", "mfc": "white", "ms": 6.0}  # the undisturbed cell
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
WIDTH, HEIGHT = 2.7, 2.0  # inches of a panel


def figure(table: pd.DataFrame, title: str = "") -> Figure:
    """A row of panels per error, a column per number of steps ahead."""
    steps = sorted(table["steps_ahead"].unique())
    looks = style.method_styles(table["method"])
    names = [name for name in dict.fromkeys(table["perturbation"]) if name != UNDISTURBED]
    markers = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}
    with style.context():
        drawn = Figure((WIDTH * len(steps) + 1.6, HEIGHT * len(ERRORS) + 0.6), layout="constrained")
        grid = drawn.subplots(len(ERRORS), len(steps), squeeze=False, sharey=True)
        for row, (error, label) in zip(grid, ERRORS.items()):
            for axes, step in zip(row, steps):
                _panel(axes, table[table["steps_ahead"] == step], error, looks, markers)
                axes.set_xlabel(label)
            row[0].set_ylabel("Cost")
        for axes, step in zip(grid[0], steps):
            axes.set_title(f"{step} agent step{'' if step == 1 else 's'} ahead")
        handles = [looks[name].handle(method_label(name), marker="none") for name in looks]
        handles += [Line2D([], [], color=style.TEXT_COLOR, label="undisturbed", **START)]
        handles += [
            Line2D([], [], color=style.TEXT_COLOR, ls="none", marker=markers[name], label=name)
            for name in names
        ]
        drawn.legend(handles=handles, loc="outside right upper", fontsize=6.5)
        tasks = table[["task", "obs"]].drop_duplicates().itertuples(index=False)
        drawn.suptitle(title or ", ".join(task_label(*task) for task in tasks), fontsize=9)
    return drawn


def _panel(
    axes: Axes,
    table: pd.DataFrame,
    error: str,
    looks: dict[str, style.MethodStyle],
    markers: dict[str, str],
) -> None:
    for (method, _, _), run in table.groupby(["method", "run_id", "task"], sort=False):
        start = run[run["perturbation"] == UNDISTURBED]
        color = looks[method].color
        axes.plot(start[error], start["cost"], color=color, zorder=3, **START)
        for name, marker in markers.items():
            cells = run[run["perturbation"] == name].sort_values("strength")
            line = pd.concat([start, cells])
            axes.plot(line[error], line["cost"], color=color, lw=0.7, alpha=0.6)
            axes.plot(
                cells[error], cells["cost"],
                color=color, ls="none", marker=marker, mec="white", mew=0.4,
                gid=f"{error} {method} {name}",
            )  # fmt: skip
    linear_cost_axis(axes, table["cost_limit"], table["cost"].max())
    axes.set_xlim(left=0.0)
