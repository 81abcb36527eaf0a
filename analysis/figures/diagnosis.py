"""One figure of what a trained agent's model predicts against what happens.

Data in, Figure out: the table that `safedreamer diagnose` writes and `analysis.read.diagnosis`
reads, rows of `quantity, predictor, steps_ahead, bin_low, env_steps, value`. A panel without data
states why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
# color and marker per number of steps ahead in the reliability panel, nearest first
STEPS = (("#000000", "o"), ("#0072B2", "s"), ("#56B4E9", "^"), ("#E69F00", "D"))
# of a bin of probabilities; without an interval in bins that occur in too few episodes
BIN = ["mean prediction", "observed frequency", "steps in bin", "frequency low", "frequency high"]
# predictor -> label, line style and width of its lines
PREDICTORS = {
    "model": ("the model", "-", 1.6),
    "last seen": ("last observation repeated", (0, (4, 2)), 1.0),
    "mean": ("mean of these episodes", (0, (1, 1.5)), 1.0),
}


def diagnosis(findings: pd.DataFrame, title: str = "") -> Figure:
    """The figure of one table of findings."""
    with style.context():
        figure = Figure(figsize=(7.2, 5.8), layout="constrained")
        grid = figure.add_gridspec(2, 3)
        for place, draw in zip(grid, (_observations, _rewards, _cost_alarms, _reliability)):
            draw(figure.add_subplot(place), findings)
        _costs_over_training(figure, grid[1, 1], findings)
        _plans_over_training(figure.add_subplot(grid[1, 2]), findings)
        for index, axes in enumerate(axes for axes in figure.axes if axes.get_title(loc="left")):
            text = f"{'abcdef'[index]}  {axes.get_title(loc='left')}"
            look = {"fontweight": "bold", "fontsize": 8, "pad": TITLE_PAD[index // 3]}
            axes.set_title(text, loc="left", **look)
        figure.legend(
            handles=[_entry(name, GREY, ls=ls, lw=lw) for name, ls, lw in PREDICTORS.values()],
            loc="outside lower center", ncols=3, fontsize=7, title="a, b, c: who predicts",
            title_fontsize=7,
        )  # fmt: skip
        if title:
            figure.suptitle(title, fontsize=9)
        return figure


def _observations(axes: Axes, findings: pd.DataFrame) -> None:
    """Errors of positions in metres where the observation contains any, else of the observation
    arrays (cameras).
    """
    metres, squares = ": error in metres", " root mean square error"
    names = _quantities(findings, metres)
    ending = metres if names else squares
    if names:
        near = [name for name in names if "nearer" in name]
        tracked = [name for name in near if name.startswith("tracked")]
        chosen = [*(tracked or near)[:1], *(name for name in names if name.startswith("goal"))]
    else:
        names = _quantities(findings, squares)
        chosen = [name for name in names if name.startswith("image")] or names[:1]
    unit = "mean error (m)" if ending == metres else "root mean square error"
    _panel(axes, "Observation", unit, "agent steps ahead")
    colored = list(zip(chosen, (BLUE, ORANGE)))
    drawn = [_by_step(axes, findings, name, color) for name, color in colored]
    entries = [
        _entry(name.removesuffix(ending).replace(" nearer than ", " < "), color)
        for name, color in colored
    ]
    _finish(axes, any(drawn), "no observation was predicted", entries)
    axes.set_ylim(bottom=0)


def _rewards(axes: Axes, findings: pd.DataFrame) -> None:
    """Correlation, and the error relative to that of predicting the mean: 1 is no better."""
    _panel(axes, "Reward", "", "agent steps ahead")
    name = "reward root mean square error"
    errors = findings["quantity"] == name
    constant = findings[errors & (findings["predictor"] == "mean")].set_index("steps_ahead")[
        "value"
    ]
    scale = findings["steps_ahead"].map(constant).where(lambda error: error > 0)
    relative = findings.assign(value=findings["value"] / scale)
    drawn = [
        _by_step(axes, findings, "reward correlation", BLUE),
        _by_step(axes, relative, name, ORANGE),
    ]
    entries = [_entry("correlation", BLUE), _entry("error / that of the mean", ORANGE)]
    _finish(axes, any(drawn), "the reward never changed", entries)


def _cost_alarms(axes: Axes, findings: pd.DataFrame) -> None:
    """Precision and recall of "predicted cost above one half"."""
    _panel(axes, "Cost: precision and recall", "", "agent steps ahead")
    pairs = (
        ("precision", BLUE, "no cost was predicted"),
        ("recall", ORANGE, "nothing cost in these episodes"),
    )
    drawn = {name: _by_step(axes, findings, f"cost {name}", color) for name, color, _ in pairs}
    lacks = [f"no {name}:\n{reason}" for name, _, reason in pairs if not drawn[name]]
    entries = [_entry(name, color) for name, color, _ in pairs]
    _finish(axes, any(drawn.values()), "\n".join(lacks), entries)
    if any(drawn.values()):
        axes.set_ylim(-0.04, 1.04)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        text = {"ha": "center", "fontsize": 6.5, "color": style.TEXT_COLOR}
        for y, lack in zip((0.5, 0.25), lacks):
            axes.text(0.5, y, lack, transform=axes.transAxes, bbox=box, zorder=6, **text)


def _reliability(axes: Axes, findings: pd.DataFrame) -> None:
    """Observed frequency against mean prediction per bin, with 95 % intervals over episodes.

    Larger marks stand for more steps. Bins of fewer than MIN_STEPS steps are only in the table.
    """
    binned = findings[findings["bin_low"].notna() & (findings["steps_ahead"] >= 0)]
    if binned.empty:
        _panel(axes, "Cost: calibration", "", "")
        _finish(axes, False, "no cost probabilities to calibrate", [])
        return
    names = binned["quantity"].str.partition(": ")
    what = names[0].iloc[0]
    probability = what == "cost probability"
    label = what if probability else f"{what} (at most 1)"
    _panel(axes, "Cost: calibration", "share of steps with a cost", label)
    keys = ["steps_ahead", "bin_low"]
    table = binned.assign(column=names[2]).pivot(index=keys, columns="column", values="value")
    errors = findings[findings["quantity"] == f"{what}: calibration error"]
    error = errors.set_index("steps_ahead")["value"]
    entries = []
    for (steps, rows), (color, marker) in zip(table.groupby(level="steps_ahead"), STEPS):
        rows = rows[rows["steps in bin"] >= MIN_STEPS].reindex(columns=BIN)
        said, seen, count, low, high = rows.to_numpy().T
        arms = (np.maximum(seen - low, 0.0), np.maximum(high - seen, 0.0))
        look = {"color": color, "lw": 0.9, "elinewidth": 0.6}
        axes.errorbar(said, seen, arms, gid=f"reliability {steps}", **look)
        size = 6 + 8 * np.log10(count)
        axes.scatter(said, seen, size, color=color, marker=marker, zorder=3, lw=0)
        kind = "ECE" if probability else "gap"
        entries.append(_entry(f"{steps} ahead: {kind} {error[steps]:.2f}", color))
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=(0, (1, 1.5)))
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    _finish(axes, True, "", entries)


def _costs_over_training(figure: Figure, place: SubplotSpec, findings: pd.DataFrame) -> None:
    """Real and predicted episode cost above, the multiplier below."""
    upper, lower = place.subgridspec(2, 1, height_ratios=(2.4, 1.0), hspace=0.08).subplots()
    _panel(upper, "Episode cost", "episode cost", "")
    _panel(lower, "", "multiplier", "simulator steps of training")
    dashed = {"ls": style.DASHED, "lw": 1.4}
    lines = (
        ("episode cost", "training", GREY, {"lw": 1.0}),
        ("evaluated episode cost", "evaluation", "#000000", {"marker": "o", "ms": 3.5, "lw": 0.0}),
        ("imagined episode cost", "actor's, imagined", BLUE, {"lw": 1.4}),
        ("episode cost that plans promised", "plans' promise", ORANGE, dashed),
    )
    entries = [
        entry
        for name, label, color, look in lines
        for entry in _over_training(upper, findings, name, label, color, **look)
    ]
    limit = findings.loc[findings["quantity"] == "cost limit", "value"]
    if entries:
        cost_axis(upper, tuple(limit))
        _show_negative(upper)
        look = {"ls": (0, (4, 3)), "lw": 1.1}
        entries += [_entry(f"limit {value:g}", style.LIMIT_COLOR, **look) for value in limit]
    _finish(upper, bool(entries), "no history of training", entries)
    multiplier = _over_training(lower, findings, "multiplier", "", GREEN)
    _finish(lower, bool(multiplier), "no multiplier", [])
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
    never = "share of decisions without any safe plan"
    entries = [
        *_over_training(axes, findings, "share of safe plans", "safe plans", BLUE),
        *_over_training(axes, findings, never, "decisions without one", ORANGE),
    ]
    text = "no plans: the actor decides,\nor training has not come so far"
    _finish(axes, bool(entries), text, entries)
    axes.set_xlim(left=0)
    axes.set_ylim(-0.04, 1.04)


def _quantities(findings: pd.DataFrame, ending: str) -> list[str]:
    """Names of the model's quantities with this ending, in the table's order, except the reward."""
    mine = findings[(findings["predictor"] == "model") & (findings["steps_ahead"] >= 0)]
    names = mine["quantity"].unique()
    return [name for name in names if name.endswith(ending) and not name.startswith("reward")]


def _by_step(axes: Axes, findings: pd.DataFrame, quantity: str, color: str) -> bool:
    """Draw one line per predictor against steps ahead; returns whether the model has one."""
    mine = findings[(findings["quantity"] == quantity) & findings["value"].notna()]
    for predictor, (_, ls, lw) in PREDICTORS.items():
        rows = mine[mine["predictor"] == predictor].sort_values("steps_ahead")
        look = {"color": color, "ls": ls, "lw": lw, "gid": f"{predictor}: {quantity}"}
        axes.plot(rows["steps_ahead"], rows["value"], **look)
    axes.set_xlim(-0.4, max(0, findings["steps_ahead"].max()) + 0.4)
    return bool((mine["predictor"] == "model").any())


def _over_training(
    axes: Axes, findings: pd.DataFrame, name: str, label: str, color: str, **look: Any
) -> list[Line2D]:
    """Draw a quantity of training against simulator steps; returns its legend entry, none where
    there is nothing to draw.
    """
    quantity = f"training: {name}"
    rows = findings[(findings["quantity"] == quantity) & findings["value"].notna()]
    if rows.empty:
        return []
    rows = rows.sort_values("env_steps")
    axes.plot(rows["env_steps"], rows["value"], color=color, gid=quantity, **({"lw": 1.3} | look))
    return [_entry(label, color, **look)]


def _entry(label: str, color: str, **look: Any) -> Line2D:
    return Line2D([], [], **({"lw": 2.2} | look), color=color, label=label)


def _panel(axes: Axes, title: str, y: str, x: str) -> None:
    axes.set_title(title, loc="left")
    axes.set(xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if "simulator" in x:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _finish(axes: Axes, drawn: bool, otherwise: str, entries: Sequence[Line2D]) -> None:
    """Add the panel's legend, or the text that explains why it is empty."""
    if not drawn:
        look = {"ha": "center", "va": "center", "fontsize": 7, "color": style.TEXT_COLOR}
        axes.text(0.5, 0.5, otherwise, transform=axes.transAxes, **look)
        axes.set(xticks=[], yticks=[])
    elif entries:  # above the panel, where no data is; the space is TITLE_PAD
        legend = axes.legend(
            handles=entries, ncols=2, loc="lower left", bbox_to_anchor=(-0.03, 0.99), fontsize=6.5,
            handlelength=1.2, handletextpad=0.4, columnspacing=0.9, labelspacing=0.2, borderpad=0.1,
        )  # fmt: skip
        legend.set_in_layout(False)
