"""Counterparts of the figures of SafeDreamer (arXiv:2307.07176) from any results, full or partial.

Captions give the number of seeds in every panel; `analysis.statistics.paper.panels` lists all
panels, including empty ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.figures import curves, overall
from analysis.figures.gallery import GalleryConfig, Picture, ablation_pictures, summarise
from analysis.figures.panels import axis_label
from analysis.results.frames import Results
from analysis.results.labels import method_label, task_label
from analysis.statistics.metrics import METRICS
from analysis.statistics.paper import CURVES, MODEL_FREE, VISION, observed, panels, placed
from analysis.statistics.series import curve_lines

NORMALISED = ("normalised_return", "normalised_cost", "normalised_cost_rate")


def pictures(results: Results, scores: pd.DataFrame, config: GalleryConfig) -> Iterator[Picture]:
    """The paper's figures; one without any run has no Figure and names the runs that it needs."""
    listed = panels(results)
    for figure in CURVES:
        mine = listed[listed["figure"] == figure.name]
        there = list(dict.fromkeys(mine.loc[mine["seeds"] > 0, "method"]))
        caption, title = describe(mine), _title(figure.title, mine)
        if not there:
            runs = ", ".join(task_label(*task) for task in figure.tasks)
            text = f"Not drawn: {caption} Runs of {', '.join(figure.methods)} on {runs} fill it."
            yield Picture(figure.name, title, text)
            continue
        mine, tasks = placed(results, figure)
        data = curve_lines(mine._replace(runs=mine.runs[mine.runs["label"].isin(there)]))
        drawn = curves.grid(mine, tasks, there, data, panel_height=1.0)
        yield Picture(figure.name, title, caption, drawn, data)
    shown = results.runs.set_index("run").assign(obs=observed(results.runs, VISION).to_numpy())
    yield _normalised(scores.assign(obs=scores["run"].map(shown["obs"])), config)
    yield next(ablation_pictures(results, scores))._replace(name="ablation")


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
    seen = np.array([pair in VISION for pair in zip(scores["task"], scores["obs"])], bool)
    mine, tables, note = summarise(scores[seen], config, NORMALISED)
    if not tables:
        tasks = ", ".join(task_label(*task) for task in VISION)
        text = f"Not drawn: no task of {tasks} has evaluated runs of all methods. These fill it."
        return Picture(name, title, text)
    metric, first = next(iter(tables.items()))
    caption = f"{int(first['tasks'].max())} of five vision tasks. {METRICS[metric].label}: "
    caption += f"{METRICS[metric].source}. {note}".rstrip()
    if set(mine["method"]) & set(MODEL_FREE):
        caption += (
            " Model-free methods without runs from vision are those from their own observations."
        )
    data = pd.concat([table.assign(metric=metric) for metric, table in tables.items()])
    iqm = data[data["statistic"] == "IQM"]
    columns = {axis_label(str(metric)): rows for metric, rows in iqm.groupby("metric", sort=False)}
    figure = overall.intervals(columns, "Interquartile mean")
    return Picture(name, title, caption, figure, data)
