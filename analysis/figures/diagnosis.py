"""One figure of what a trained agent's model predicts against what happens.

Data in, Figure out: the table that `safedreamer diagnose` writes and `analysis.read.diagnosis`
reads, rows of `quantity, predictor, steps_ahead, bin_low, env_steps, value`. A panel without data
states why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.figures import style
from analysis.figures.facets import cost_axis

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
MIN_STEPS = 5  # bins with fewer steps are not drawn: their share is too uncertain
# points between a panel and its title, per row of panels: room for one and for three legend lines
TITLE_PAD = (14.0, 32.0)
# one per number of steps ahead in the reliability panel, nearest first
STEP_COLORS = ("#000000", "#0072B2", "#56B4E9", "#E69F00")
STEP_MARKERS = ("o", "s", "^", "D")


class Look(NamedTuple):
    """How a predictor's lines are drawn."""

    label: str
    line: object
    width: float


class Label(NamedTuple):
    """An entry of a panel's legend."""

    text: str
    color: str
    look: Mapping[str, Any] = MappingProxyType({})


PREDICTORS = {
    "model": Look("the model", "-", 1.6),
    "last seen": Look("last observation repeated", (0, (4, 2)), 1.0),
    "mean": Look("mean of these episodes", (0, (1, 1.5)), 1.0),
}


def diagnosis(findings: pd.DataFrame, title: str = "") -> Figure:
    """The figure of one table of findings."""
    with style.context():
        figure = Figure(figsize=(7.2, 5.8), layout="constrained")
        grid = figure.add_gridspec(2, 3)
        panels: list[Callable[[Axes, pd.DataFrame], None]] = [
            _observations,
            _rewards,
            _cost_alarms,
            _reliability,
        ]
        for place, draw in zip(grid, panels):
            draw(figure.add_subplot(place), findings)
        _costs_over_training(figure, grid[1, 1], findings)
        _plans_over_training(figure.add_subplot(grid[1, 2]), findings)
        for index, axes in enumerate(axes for axes in figure.axes if axes.get_title(loc="left")):
            text = f"{'abcdef'[index]}  {axes.get_title(loc='left')}"
            axes.set_title(
                text, loc="left", fontweight="bold", fontsize=8, pad=TITLE_PAD[index // 3]
            )
        figure.legend(
            handles=[
                Line2D([], [], color=GREY, ls=look.line, lw=look.width, label=look.label)
                for look in PREDICTORS.values()
            ],
            loc="outside lower center",
            ncols=3,
            title="a, b, c: who predicts",
            title_fontsize=7,
            fontsize=7,
        )
        if title:
            figure.suptitle(title, fontsize=9)
        return figure


def _observations(axes: Axes, findings: pd.DataFrame) -> None:
    """Errors of positions in metres where the observation contains any, else of the observation
    arrays (cameras).
    """
    metres = _quantities(findings, ": error in metres")
    squares = _quantities(findings, " root mean square error")
    if metres:
        near = [name for name in metres if "nearer" in name]
        tracked = [name for name in near if name.startswith("tracked")]
        chosen = [*(tracked or near)[:1], *(name for name in metres if name.startswith("goal"))]
        labels = [
            name.removesuffix(": error in metres").replace(" nearer than ", " < ")
            for name in chosen
        ]
    else:
        chosen = [name for name in squares if name.startswith("image")] or squares[:1]
        labels = [name.removesuffix(" root mean square error") for name in chosen]
    _panel(
        axes,
        "Observation",
        "mean error (m)" if metres else "root mean square error",
        "agent steps ahead",
    )
    drawn = [_by_step(axes, findings, name, color) for name, color in zip(chosen, (BLUE, ORANGE))]
    entries = [Label(name, color) for name, color in zip(labels, (BLUE, ORANGE))]
    _finish(axes, any(drawn), "no observation was predicted", entries)
    axes.set_ylim(bottom=0)


def _rewards(axes: Axes, findings: pd.DataFrame) -> None:
    """Correlation, and the error relative to that of predicting the mean: 1 is no better."""
    _panel(axes, "Reward", "", "agent steps ahead")
    name, relative = "reward root mean square error", findings.copy()
    errors = relative["quantity"] == name
    constant = relative[errors & (relative["predictor"] == "mean")].set_index("steps_ahead")[
        "value"
    ]
    relative.loc[errors, "value"] /= (
        relative.loc[errors, "steps_ahead"].map(constant).where(lambda error: error > 0)
    )
    drawn = [
        _by_step(axes, findings, "reward correlation", BLUE),
        _by_step(axes, relative, name, ORANGE),
    ]
    labels = [Label("correlation", BLUE), Label("error / that of the mean", ORANGE)]
    _finish(axes, any(drawn), "the reward never changed", labels)


def _cost_alarms(axes: Axes, findings: pd.DataFrame) -> None:
    """Precision and recall of "predicted cost above one half"."""
    _panel(axes, "Cost: precision and recall", "", "agent steps ahead")
    pairs = (
        ("precision", BLUE, "no cost was predicted"),
        ("recall", ORANGE, "nothing cost in these episodes"),
    )
    drawn = {name: _by_step(axes, findings, f"cost {name}", color) for name, color, _ in pairs}
    lacks = [f"no {name}:\n{reason}" for name, _, reason in pairs if not drawn[name]]
    _finish(
        axes,
        any(drawn.values()),
        "\n".join(lacks),
        [Label(name, color) for name, color, _ in pairs],
    )
    if any(drawn.values()):
        axes.set_ylim(-0.04, 1.04)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        text = {"ha": "center", "fontsize": 6.5, "color": style.TEXT_COLOR}
        for y, lack in zip((0.5, 0.25), lacks):
            axes.text(0.5, y, lack, transform=axes.transAxes, bbox=box, zorder=6, **text)


def _reliability(axes: Axes, findings: pd.DataFrame) -> None:
    """Observed frequency against mean prediction per bin, with 95 % intervals over episodes.

    Larger marks stand for more steps. Bins that occur in too few episodes have no interval; bins of
    fewer than MIN_STEPS steps are not drawn and only in the table.
    """
    binned = findings[findings["bin_low"].notna() & (findings["steps_ahead"] >= 0)]
    if binned.empty:
        _panel(axes, "Cost: calibration", "", "")
        _finish(axes, False, "no cost probabilities to calibrate", [])
        return
    names = binned["quantity"].str.partition(": ")
    what = names[0].iloc[0]
    probability = what == "cost probability"
    _panel(
        axes,
        "Cost: calibration",
        "share of steps with a cost",
        what if probability else f"{what} (at most 1)",
    )
    table = binned.assign(column=names[2]).pivot(
        index=["steps_ahead", "bin_low"], columns="column", values="value"
    )
    table = table.reindex(
        columns=[*table.columns, *({"frequency low", "frequency high"} - set(table.columns))]
    )
    errors = findings[findings["quantity"] == f"{what}: calibration error"].set_index(
        "steps_ahead"
    )["value"]
    labels: list[Label] = []
    for (steps, rows), color, marker in zip(
        table.groupby(level="steps_ahead"), STEP_COLORS, STEP_MARKERS
    ):
        rows = rows[rows["steps in bin"] >= MIN_STEPS]
        said, seen, count = (
            rows[name].to_numpy()
            for name in ("mean prediction", "observed frequency", "steps in bin")
        )
        low, high = rows["frequency low"].to_numpy(), rows["frequency high"].to_numpy()
        axes.errorbar(
            said,
            seen,
            (np.maximum(seen - low, 0.0), np.maximum(high - seen, 0.0)),
            color=color,
            lw=0.9,
            elinewidth=0.6,
            gid=f"reliability {steps}",
        )
        axes.scatter(
            said, seen, 6 + 8 * np.log10(count), color=color, marker=marker, zorder=3, lw=0
        )
        labels.append(
            Label(f"{steps} ahead: {'ECE' if probability else 'gap'} {errors[steps]:.2f}", color)
        )
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=(0, (1, 1.5)))
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    _finish(axes, True, "", labels)


def _costs_over_training(figure: Figure, place: SubplotSpec, findings: pd.DataFrame) -> None:
    """Real and predicted episode cost above, the multiplier below."""
    upper, lower = place.subgridspec(2, 1, height_ratios=(2.4, 1.0), hspace=0.08).subplots()
    _panel(upper, "Episode cost", "episode cost", "")
    _panel(lower, "", "multiplier", "simulator steps of training")
    lines = (
        ("training: episode cost", "training", GREY, {"lw": 1.0}),
        (
            "training: evaluated episode cost",
            "evaluation",
            "#000000",
            {"marker": "o", "ms": 3.5, "lw": 0.0},
        ),
        ("training: imagined episode cost", "actor's, imagined", BLUE, {"lw": 1.4}),
        (
            "training: episode cost that plans promised",
            "plans' promise",
            ORANGE,
            {"ls": style.DASHED, "lw": 1.4},
        ),
    )
    drawn = [line for line in lines if _over_training(upper, findings, line[0], *line[2:])]
    labels = [Label(*line[1:]) for line in drawn]
    limit = findings.loc[findings["quantity"] == "cost limit", "value"]
    if labels:
        cost_axis(upper, tuple(limit))
        _show_negative(upper)
        dashed = {"ls": (0, (4, 3)), "lw": 1.1}
        labels += [Label(f"limit {value:g}", style.LIMIT_COLOR, dashed) for value in limit]
    _finish(upper, bool(labels), "no history of training", labels)
    _finish(
        lower,
        _over_training(lower, findings, "training: multiplier", GREEN, {}),
        "no multiplier",
        [],
    )
    upper.tick_params(labelbottom=False)
    upper.set_xlim(left=0)
    lower.set_xlim(upper.get_xlim())
    lower.set_ylim(0, 1.15 * lower.get_ylim()[1])


def _show_negative(axes: Axes) -> None:
    """Extend a cost axis to negative predictions, which an untrained head may make."""
    lowest = min(np.nanmin(np.asarray(line.get_ydata(), dtype=float)) for line in axes.lines)
    if lowest < axes.get_ylim()[0]:
        decades, top = (10.0, 100.0, 1000.0), axes.get_ylim()[1]
        axes.set_yticks(
            [*(-t for t in decades if t <= -lowest), 0.0, *(t for t in decades if t <= top)]
        )
        axes.set_ylim(bottom=1.4 * lowest)


def _plans_over_training(axes: Axes, findings: pd.DataFrame) -> None:
    """How many candidate plans were safe, and how often none was."""
    _panel(axes, "Plans in training", "share", "simulator steps of training")
    lines = (
        ("training: share of safe plans", "safe plans", BLUE),
        ("training: share of decisions without any safe plan", "decisions without one", ORANGE),
    )
    labels = [
        Label(label, color)
        for name, label, color in lines
        if _over_training(axes, findings, name, color, {})
    ]
    _finish(
        axes, bool(labels), "no plans: the actor decides,\nor training has not come so far", labels
    )
    axes.set_xlim(left=0)
    axes.set_ylim(-0.04, 1.04)


def _quantities(findings: pd.DataFrame, ending: str) -> list[str]:
    """Names of the model's quantities with this ending, in the table's order, except the reward."""
    names = findings.loc[
        (findings["predictor"] == "model") & (findings["steps_ahead"] >= 0), "quantity"
    ]
    return [
        name for name in names.unique() if name.endswith(ending) and not name.startswith("reward")
    ]


def _by_step(axes: Axes, findings: pd.DataFrame, quantity: str, color: str) -> bool:
    """Draw one line per predictor against steps ahead; returns whether the model has one."""
    mine = findings[(findings["quantity"] == quantity) & findings["value"].notna()]
    for predictor, look in PREDICTORS.items():
        rows = mine[mine["predictor"] == predictor].sort_values("steps_ahead")
        axes.plot(
            rows["steps_ahead"],
            rows["value"],
            color=color,
            ls=look.line,
            lw=look.width,
            gid=f"{predictor}: {quantity}",
        )
    axes.set_xlim(-0.4, max(0, findings["steps_ahead"].max()) + 0.4)
    return bool((mine["predictor"] == "model").any())


def _over_training(
    axes: Axes, findings: pd.DataFrame, quantity: str, color: str, look: Mapping[str, Any]
) -> bool:
    """Draw a line against simulator steps; returns False where there is nothing to draw."""
    rows = findings[(findings["quantity"] == quantity) & findings["value"].notna()].sort_values(
        "env_steps"
    )
    if rows.empty:
        return False
    axes.plot(
        rows["env_steps"], rows["value"], color=color, gid=quantity, **({"lw": 1.3} | dict(look))
    )
    return True


def _panel(axes: Axes, title: str, y: str, x: str) -> None:
    axes.set_title(title, loc="left")
    axes.set(xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if "simulator" in x:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _finish(axes: Axes, drawn: bool, otherwise: str, labels: Sequence[Label]) -> None:
    """Add the panel's legend, or the text that explains why it is empty."""
    if not drawn:
        axes.text(
            0.5,
            0.5,
            otherwise,
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=7,
            color=style.TEXT_COLOR,
        )
        axes.set(xticks=[], yticks=[])
        return
    handles = [
        Line2D([], [], **({"lw": 2.2} | dict(look)), color=color, label=label)
        for label, color, look in labels
    ]
    if handles:  # above the panel, where no data is; the space is TITLE_PAD
        spacing = {
            "handletextpad": 0.4,
            "columnspacing": 0.9,
            "labelspacing": 0.2,
            "borderpad": 0.1,
        }
        legend = axes.legend(
            handles=handles,
            ncols=2,
            loc="lower left",
            bbox_to_anchor=(-0.03, 0.99),
            fontsize=6.5,
            handlelength=1.2,
            **spacing,
        )
        legend.set_in_layout(False)
