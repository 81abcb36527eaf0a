"""Counterparts of the figures of SafeDreamer (arXiv:2307.07176) from any results, full or partial.

Captions give the number of seeds in every panel; `analysis.statistics.paper.panels` lists all
panels, including empty ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pandas as pd

from analysis.figures import curves, overall
from analysis.figures.ablations import contribution
from analysis.figures.gallery import GalleryConfig, Picture, Section
from analysis.results.frames import Results
from analysis.results.labels import method_label, task_label
from analysis.statistics import ablations, aggregates
from analysis.statistics.metrics import METRICS
from analysis.statistics.paper import CURVES, MODEL_FREE, VISION, observed, panels, placed
from analysis.statistics.series import curve_lines

NORMALISED = ("normalised_return", "normalised_cost", "normalised_cost_rate")
LAYOUT = dataclasses.replace(curves.GRID, panel_height=1.0)


def pictures(
    results: Results, scores: pd.DataFrame, config: GalleryConfig | None = None
) -> Iterator[Picture]:
    """The paper's figures; one without any run has no Figure and names the runs that it needs."""
    config = config or GalleryConfig()
    listed = panels(results)
    for figure in CURVES:
        mine = listed[listed["figure"] == figure.name]
        there = list(dict.fromkeys(mine.loc[mine["seeds"] > 0, "method"]))
        caption, title = describe(mine), _title(figure.title, mine)
        if not there:
            runs = ", ".join(task_label(*task) for task in figure.tasks)
            text = f"Not drawn: {caption} Runs of {', '.join(figure.methods)} on {runs} fill it."
            yield Picture(figure.name, Section.CURVES, title, text)
            continue
        mine, tasks = placed(results, figure)
        data = curve_lines(mine._replace(runs=mine.runs[mine.runs["label"].isin(there)]))
        drawn = curves.grid(mine, tasks, there, LAYOUT, data=data)
        yield Picture(figure.name, Section.CURVES, title, caption, drawn, data)
    shown = results.runs.set_index("run").assign(obs=observed(results.runs, VISION).to_numpy())
    yield _normalised(scores.assign(obs=scores["run"].map(shown["obs"])), config)
    yield _ablation(scores)


def _title(title: str, mine: pd.DataFrame) -> str:
    """The figure's title, with the observations of runs that differ from the panel's."""
    seen = sorted({obs for some in mine["seen"] for obs in some.split(", ") if obs})
    return f"{title} (model-free: {', '.join(seen)})" if seen else title


def describe(mine: pd.DataFrame) -> str:
    """Description of one figure's panels, for its caption."""
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
        rest = f"; empty: {', '.join(lacking)}." if lacking else "."
        lines.append(f"{name}: seeds {text}{rest}")
    return " ".join(lines)


def _normalised(scores: pd.DataFrame, config: GalleryConfig) -> Picture:
    """Normalised metrics over the tasks of the vision figures, where results have them."""
    name, title = "normalised", "Normalised metrics"
    mine = aggregates.plain(scores)
    mine = mine[[pair in VISION for pair in zip(mine["task"], mine["obs"])]]
    mine = mine[mine.groupby("method")["return"].transform("count") > 0] if len(mine) else mine
    known = [m for m in NORMALISED if len(mine) and aggregates.left_out(mine, m)[0]]
    if not known:
        tasks = ", ".join(task_label(*task) for task in VISION)
        text = f"Not drawn: no task of {tasks} has evaluated runs of all methods. These fill it."
        return Picture(name, Section.AGGREGATES, title, text)
    tables = {m: aggregates.aggregate(mine, m, config.reps) for m in known}
    first = tables[known[0]]
    caption = (
        f"{int(first['tasks'].max())} of five vision tasks. {METRICS[known[0]].label}: "
        f"{METRICS[known[0]].source}."
    )
    if left_out := next(filter(None, first["left_out"]), ""):
        caption += f" Left out, because not all methods have values there: {left_out}."
    if not first["trusted"].all():
        caption += " Fewer than 3 seeds: no interval can be trusted, none is drawn."
    if set(mine["method"]) & set(MODEL_FREE):
        caption += (
            " Model-free methods without runs from vision are those from their own observations."
        )
    columns = [
        overall.Column(overall.axis_label(metric), table) for metric, table in tables.items()
    ]
    data = pd.concat([table.assign(metric=metric) for metric, table in tables.items()])
    figure = overall.intervals(columns, "Interquartile mean")
    return Picture(name, Section.AGGREGATES, title, caption, figure, data)


def _ablation(scores: pd.DataFrame) -> Picture:
    name, title, mine = "ablation", "Planner and Lagrangian", scores[scores["return"].notna()]
    try:
        figure = contribution(mine)
    except ValueError as error:
        suite = "`safedreamer sweep --suite ablation-planner-lagrangian`"
        return Picture(name, Section.ABLATIONS, title, f"Not drawn: {error}. {suite} runs them.")
    caption = "Means of every combination of parts; main effects and interaction."
    data = pd.concat([ablations.cells(mine, m).assign(metric=m) for m in ("return", "cost")])
    return Picture(name, Section.ABLATIONS, title, caption, figure, data)
