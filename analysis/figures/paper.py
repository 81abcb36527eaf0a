"""Counterparts of the figures and tables of SafeDreamer (arXiv:2307.07176) from any results, full
or partial.

What the paper shows and these repeat: curves on five vision tasks against model-based and against
model-free methods, curves on low-dimensional tasks, normalised metrics, the ablation of planner and
Lagrangian, and tables of final reward and cost. Every panel says how many seeds stand in it, and
`panels` lists them all, the empty ones too: nothing that is missing can pass for shown. The methods
are this suite's; where the paper has others, or other settings, docs/howto/report.md says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from analysis.figures import gallery, overall
from analysis.figures.ablations import contribution
from analysis.figures.gallery import GalleryConfig, Picture
from analysis.figures.grid import GridConfig, grid
from analysis.read.labels import method_label, task_label
from analysis.read.results import DUPLICATE, Results
from analysis.statistics import aggregates
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.metrics import METRICS
from analysis.tables.comparison import comparison

OURS = ("osrp", "osrp_lag", "bsrp_lag")
MODEL_BASED = ("dreamerv3", "lambda", "safe_slac")
MODEL_FREE = ("ppo", "ppo_lag", "trpo", "trpo_lag", "cpo", "focops", "cppo_pid", "omnisafe_sac_lag")
VISION = tuple(
    (f"Safety{name}-v0", "vision")
    for name in ("PointGoal1", "PointGoal2", "CarGoal1", "PointPush1", "PointButton1")
)
VECTOR = (("SafetyPointGoal1-v0", "coordinates"), ("SafetyCarGoal1-v0", "coordinates"))
NORMALISED = ("normalised_return", "normalised_cost", "normalised_cost_rate")
# what a model-free method sees on a task where it cannot see what the others see
INSTEAD = ("lidar", "coordinates", "default")
EMPTY, FEW, FULL = "empty", f"fewer than {MIN_RUNS} seeds", "complete"


class Curves(NamedTuple):
    """A figure of curves: a panel per task, a line per method."""

    name: str
    title: str
    tasks: tuple[tuple[str, str], ...]
    methods: tuple[str, ...]


CURVES = (
    Curves(
        "vision-model-based",
        "Five vision tasks, model-based methods",
        VISION,
        (*OURS, *MODEL_BASED),
    ),
    Curves(
        "vision-model-free", "Five vision tasks, model-free methods", VISION, (*OURS, *MODEL_FREE)
    ),
    Curves("vector", "Low-dimensional tasks", VECTOR, (*OURS, "dreamerv3", "cem", *MODEL_FREE)),
)


def observed(runs: pd.DataFrame, tasks: Sequence[tuple[str, str]]) -> pd.Series:
    """The observation of the panel that each run stands in, by the index of `runs`.

    Its own, but for model-free methods.

    Those are published without cameras: on a task of `tasks` that one was not run on with the
    panel's observation, the first of INSTEAD that it was run with takes its place. `panels` tells
    which.
    """
    shown = runs["obs"].copy()
    evaluated = runs[
        (runs["eval_episodes"] > 0) & (runs["status"] != DUPLICATE) & runs["label"].isin(MODEL_FREE)
    ]
    for (task, label), mine in evaluated.groupby(["task", "label"]):
        there = set(mine["obs"])
        for obs in (obs for name, obs in tasks if name == task and obs not in there):
            instead = next((other for other in INSTEAD if other in there), None)
            shown[(runs["task"] == task) & (runs["label"] == label) & (runs["obs"] == instead)] = (
                obs
            )
    return shown


def panels(results: Results) -> pd.DataFrame:
    """What stands in every panel.

    `figure`, `task`, `obs`, `method`, `seeds` (with evaluations), `seen`, `state` (EMPTY, FEW or
    FULL).

    `seen` is the observation of the method's runs where it is not the panel's.
    """
    runs = results.runs[(results.runs["eval_episodes"] > 0) & (results.runs["status"] != DUPLICATE)]
    rows = []
    for figure in CURVES:
        shown = runs.assign(panel=observed(runs, figure.tasks))
        for task, obs in figure.tasks:
            for method in figure.methods:
                mine = shown[
                    (shown["task"] == task) & (shown["panel"] == obs) & (shown["label"] == method)
                ]
                count, seen = mine["seed"].nunique(), ", ".join(sorted(set(mine["obs"]) - {obs}))
                state = EMPTY if not count else FEW if count < MIN_RUNS else FULL
                rows.append((figure.name, task, obs, method, count, seen, state))
    return pd.DataFrame(rows, columns=["figure", "task", "obs", "method", "seeds", "seen", "state"])


def pictures(
    results: Results, scores: pd.DataFrame, config: GalleryConfig | None = None
) -> Iterator[Picture]:
    """The paper's figures; one without any run has no Figure and says so."""
    config = config or GalleryConfig()
    listed = panels(results)
    for figure in CURVES:
        mine = listed[listed["figure"] == figure.name]
        there = [
            method for method in figure.methods if mine.loc[mine["method"] == method, "seeds"].sum()
        ]
        caption = describe(mine)
        if not there:
            yield Picture(figure.name, gallery.CURVES, figure.title, caption, None)
            continue
        placed = results._replace(
            runs=results.runs.assign(obs=observed(results.runs, figure.tasks))
        )
        drawn = grid(placed, figure.tasks, there, GridConfig(panel_height=1.0))
        yield Picture(figure.name, gallery.CURVES, figure.title, caption, drawn)
    shown = results.runs.set_index("run").assign(obs=observed(results.runs, VISION).to_numpy())[
        "obs"
    ]
    yield _normalised(scores.assign(obs=scores["run"].map(shown)), config)
    yield _ablation(scores)


def describe(mine: pd.DataFrame) -> str:
    """One figure's panels in words."""
    lines = []
    for (task, obs), rows in mine.groupby(["task", "obs"], sort=False):
        there = rows[rows["seeds"] > 0]
        name = task_label(task, obs)
        if there.empty:
            lines.append(f"{name}: empty, no evaluated run of {len(rows)} methods.")
            continue
        text = ", ".join(
            f"{method_label(r.method)} {r.seeds}{f' (from {r.seen})' if r.seen else ''}"
            for r in there.itertuples()
        )
        lacking = [method_label(method) for method in rows.loc[rows["seeds"] == 0, "method"]]
        lines.append(
            f"{name}: seeds {text}" + (f"; empty: {', '.join(lacking)}." if lacking else ".")
        )
    return " ".join(lines)


def _normalised(scores: pd.DataFrame, config: GalleryConfig) -> Picture:
    """Normalised metrics over the tasks of the vision figures, as far as there are any."""
    title = "Normalised metrics"
    pairs = set(VISION)
    mine = gallery.plain(scores)
    mine = mine[[pair in pairs for pair in zip(mine["task"], mine["obs"])]]
    mine = mine[mine.groupby("method")["return"].transform("count") > 0] if len(mine) else mine
    known = [metric for metric in NORMALISED if mine[metric].notna().any()]
    if not known:
        return Picture(
            "normalised",
            gallery.AGGREGATES,
            title,
            "Empty: no evaluated run on the five vision tasks.",
            None,
        )
    tables = {
        metric: aggregates.aggregate(mine, metric, config.reps, config.seed) for metric in known
    }
    first = tables[known[0]]
    left_out = next(filter(None, first["left_out"]), "")
    caption = (
        f"{int(first['tasks'].max())} of five vision tasks. {METRICS[known[0]].label}: "
        f"{METRICS[known[0]].source}."
    )
    caption += (
        f" Left out, because not all methods have values there: {left_out}." if left_out else ""
    )
    caption += (
        ""
        if first["trusted"].all()
        else " Fewer than 3 seeds: no interval can be trusted, none is drawn."
    )
    return Picture("normalised", gallery.AGGREGATES, title, caption, overall.bars(tables))


def _ablation(scores: pd.DataFrame) -> Picture:
    name, title = "ablation", "Planner and Lagrangian"
    try:
        figure = contribution(scores[scores["return"].notna()])
    except ValueError as error:
        return Picture(name, gallery.ABLATIONS, title, f"Empty: {error}.", None)
    return Picture(
        name,
        gallery.ABLATIONS,
        title,
        "Means of every combination of parts; main effects and interaction.",
        figure,
    )


def panels_markdown(listed: pd.DataFrame) -> str:
    """The panels for people: a row per task, a column per method, seeds in the cells.

    "–" is an empty one.
    """
    parts = ["# Panels of the paper's figures\n\nNumbers are seeds with evaluations; – is empty.\n"]
    for figure in CURVES:
        mine = listed[listed["figure"] == figure.name]
        head = ["Task", *(method_label(method) for method in figure.methods)]
        lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        for task, obs in figure.tasks:
            row = mine[(mine["task"] == task) & (mine["obs"] == obs)].set_index("method")
            cells = [
                f"{row.at[m, 'seeds']} {row.at[m, 'seen']}".strip() if row.at[m, "seeds"] else "–"
                for m in figure.methods
            ]
            lines.append("| " + " | ".join([task_label(task, obs), *cells]) + " |")
        parts.append(f"## {figure.title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def tables_of(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Frames of `comparison` for the tasks of the paper's tables, by name: `vision` and `vector`.

    Without those that have no run.
    """
    found = {}
    for name, tasks in (("vision", VISION), ("vector", VECTOR)):
        rows = (
            scores[[pair in tasks for pair in zip(scores["task"], scores["obs"])]]
            if len(scores)
            else scores
        )
        if len(rows):
            found[name] = comparison(gallery.plain(rows))
    return found
