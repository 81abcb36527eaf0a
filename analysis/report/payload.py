"""The curves of a report as plain data for its page.

Per task and method the mean over seeds with its band, and every single run.

Numbers have four significant digits, a diverged evaluation is null, and a line keeps at most
MAX_POINTS evenly spread evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures import style
from analysis.figures.facets import MOST_METHODS
from analysis.results.frames import Results
from analysis.results.judge import cost_limits, gaps, usable
from analysis.results.labels import method_label, split_label, task_label
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.series import band, evaluation_points, training_points

MAX_POINTS = 150
MAX_TRAINING = 80  # points of a run's smoothed training episodes
LINE_WIDTH = 1.8  # of the page's lines; matplotlib's dashes are in units of it


def curves(results: Results) -> dict[str, Any]:
    """`methods` and `tasks` for the page's script.

    A method has `label`, `name`, `color`, `dash`, `shown` (variants start hidden if there are plain
    methods). A task has `name`, `limits`, `lacks` and `lines` of a `method` each: all `runs`, and
    for MIN_RUNS seeds or more `mean` (true), `x`, and mean, low and high of `return` and `cost`. A
    run has evaluations (`x`, `return`, `cost`, possibly empty) and smoothed training episodes
    (`training`, likewise).
    """
    runs = results.runs[results.runs["task"] != ""]
    looks = style.method_styles(runs["label"])
    plain = [not split_label(label).variant for label in looks]
    methods = [
        {
            "label": label,
            "name": look.label,
            "color": look.color,
            "dash": dash(look.line),
            "shown": is_plain or not any(plain),
        }
        for (label, look), is_plain in zip(looks.items(), plain)
    ]
    order = list(looks)
    episodes = usable(results)
    evaluations, training = evaluation_points(episodes), training_points(episodes)
    none, evaluated = evaluations.iloc[:0], dict(list(evaluations.groupby("run")))
    trained = dict(list(training.groupby("run")))
    lacking = gaps(results)
    tasks = []
    for task, obs in sorted(set(zip(runs["task"], runs["obs"]))):
        here = runs[(runs["task"] == task) & (runs["obs"] == obs) & runs["used"]]
        drawn = []
        for label, mine in here.groupby("label"):
            seeds = mine["seed"].fillna(-1).astype(int)
            found = [
                (seed, evaluated.get(run, none), trained.get(run, none))
                for run, seed in zip(mine["run"], seeds)
            ]
            drawn.append({"method": order.index(str(label)), **_line(found)})
        drawn.sort(key=lambda line: line["method"])
        missing = lacking[(lacking["task"] == task) & (lacking["obs"] == obs)]
        about = {"name": task_label(task, obs), "limits": list(cost_limits(runs, task, obs))}
        tasks.append({**about, "lacks": _lacks(missing), "lines": drawn})
    return {"methods": methods, "tasks": tasks, "most_bands": MOST_METHODS}


def _line(found: Sequence[tuple[int, pd.DataFrame, pd.DataFrame]]) -> dict[str, Any]:
    """The runs of a method, given seed, evaluations and training episodes of each."""
    line: dict[str, Any] = {"seeds": len(found), "runs": [], "mean": False}
    for seed, evaluations, training in found:
        run = {"seed": seed, **_series(evaluations, MAX_POINTS)}
        line["runs"].append({**run, "training": _series(training, MAX_TRAINING)})
    evaluated = [evaluations for _, evaluations, _ in found if len(evaluations)]
    if len(evaluated) < MIN_RUNS:
        return line
    together = pd.concat(evaluated)
    bands = {column: band(together, column) for column in ("return", "cost")}
    keep = _spread(len(bands["return"]), MAX_POINTS)
    if not len(keep):
        return line
    line |= {"mean": True, "x": _plain(bands["return"]["env_steps"][keep])}
    for column, shared in bands.items():
        names = {"mean": column, "low": "low", "high": "high"}
        line[column] = {name: _plain(shared[key][keep]) for name, key in names.items()}
    return line


def _series(points: pd.DataFrame, most: int) -> dict[str, list[float | int | None]]:
    points = points.iloc[_spread(len(points), most)]
    columns = {"x": "env_steps", "return": "return", "cost": "cost"}
    return {name: _plain(points[column]) for name, column in columns.items()}


def _lacks(missing: pd.DataFrame) -> str:
    if missing.empty:
        return ""
    counts = missing.groupby("label", sort=False).size()
    names = [f"{method_label(label)} ({count})" for label, count in counts.items()]
    return f"missing runs: {', '.join(names)}"


def _spread(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `count` points, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _plain(values: Any) -> list[float | int | None]:
    return [
        None if not np.isfinite(v) else int(v) if float(v).is_integer() else float(f"{v:.4g}")
        for v in values
    ]


def dash(line: Any) -> str:
    """SVG stroke-dasharray for a matplotlib line style; "" for a solid line."""
    lengths = () if isinstance(line, str) else line[1]
    return " ".join(f"{LINE_WIDTH * length:g}" for length in lengths)
