"""From episodes to the series in figures of curves.

Evaluation points per run, the range that all runs share, smoothed training episodes.

Pure functions on DataFrames and arrays; R runs, P points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np
import pandas as pd

from analysis.results.frames import Results
from analysis.results.judge import judged_by, usable
from analysis.statistics.intervals import MIN_RUNS, mean_half_width
from benchmarks.runs.records import EVAL, TRAIN


class Kind(StrEnum):
    """Kinds of lines in figures of curves."""

    TRAINING = "training"  # smoothed training episodes of one run
    RUN = "run"  # evaluations of one run
    MEAN = "mean"  # over the evaluations of at least MIN_RUNS runs
    REST = "rest"  # evaluations that only some runs of a mean reached


def evaluation_points(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per run and evaluation.

    Columns: `run`, `env_steps`, mean `return` and `cost` of its episodes, their number `episodes`.
    """
    return _points(episodes[episodes["split"] == EVAL])


def metric_points(results: Results, constants: pd.DataFrame) -> pd.DataFrame:
    """Evaluations of all runs, in the units in which tasks are aggregated.

    Columns: `run`, `method` (label), `task`, `obs`, `seed`, `env_steps`, `return`, `cost`,
    `normalised_return`, `normalised_cost`, `cost_over_limit`; NaN if the constant or the limit is
    unknown.

    Args: constants, of `analysis.statistics.references.references`.
    """
    points = evaluation_points(usable(results))
    named = results.runs[results.runs["task"] != ""][["run", "label", "task", "obs", "seed"]]
    points = points.merge(named.rename(columns={"label": "method"}), on="run")
    limit = points["run"].map(judged_by(results.runs)).astype(float)
    of_task = constants.set_index("task")[["return", "cost"]].reindex(points["task"])
    return points.assign(
        normalised_return=points["return"] / of_task["return"].to_numpy(float),
        normalised_cost=points["cost"] / of_task["cost"].to_numpy(float),
        cost_over_limit=points["cost"] / limit.where(limit > 0),
    )


def training_points(episodes: pd.DataFrame, share: float = 0.1) -> pd.DataFrame:
    """Training episodes per run, smoothed by a centred rolling mean over `share` of its points (at
    least one).

    Episodes that ended at the same simulator step (several environments) are averaged first. A mean
    that includes a diverged episode (NaN or infinite) is NaN: a gap, not the mean of the others.
    """
    points = _points(episodes[episodes["split"] == TRAIN])
    for _, index in points.groupby("run").groups.items():
        window = max(1, round(share * len(index)))
        values = points.loc[index, ["return", "cost"]].replace([np.inf, -np.inf], np.nan)
        rolling = {"window": window, "center": True, "min_periods": 1}
        diverged = values.isna().rolling(**rolling).max() > 0  # rolling means skip NaN
        points.loc[index, ["return", "cost"]] = values.rolling(**rolling).mean().mask(diverged)
    return points


def _points(episodes: pd.DataFrame) -> pd.DataFrame:
    grouped = episodes.groupby(["run", "env_steps"], sort=True)
    values, count = grouped[["return", "cost"]], grouped.size()
    # pandas means skip NaN, but a diverged episode must show as a gap
    points = values.mean().where(values.count().eq(count, axis=0))
    return points.assign(episodes=count).reset_index()


def band(points: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of a column over all runs of `points`, on the union of their evaluation steps within the
    range that every run covers: `env_steps`, the column, `low`, `high` (95 %, NaN with fewer than
    three runs).

    Runs evaluated at other steps are interpolated linearly. The mean ends with the shortest run: a
    mean over fewer runs would look like a change of performance.
    """
    runs = [run for _, run in points.groupby("run", sort=True)]
    start, end = max(r["env_steps"].min() for r in runs), min(r["env_steps"].max() for r in runs)
    grid = np.unique(points["env_steps"].to_numpy())
    grid = grid[(grid >= start) & (grid <= end)]
    values = np.stack([np.interp(grid, r["env_steps"], r[column]) for r in runs])
    mean, half = values.mean(axis=0), mean_half_width(values)
    lowest = 0.0 if column == "cost" else -np.inf
    low, high = np.maximum(mean - half, lowest), mean + half
    return pd.DataFrame({"env_steps": grid, column: mean, "low": low, "high": high})


def curve_lines(results: Results, smooth_share: float | None = None) -> pd.DataFrame:
    """All lines of a figure of curves.

    Columns: `task`, `obs`, `method` (label), `metric` ("return" or "cost"), `kind` (Kind), `line`
    (its name within method and metric), `env_steps`, `value`, `low`, `high` (95 % interval of a
    MEAN, else NaN). A line ends at a NaN value and continues under another name.

    Args: smooth_share, share of a run's training episodes averaged; None: no training lines.
    """
    runs = results.runs[results.runs["task"] != ""]
    episodes = usable(results)
    evaluations = dict(list(evaluation_points(episodes).groupby("run")))
    training: dict[str, pd.DataFrame] = {}
    if smooth_share is not None:
        training = dict(list(training_points(episodes, smooth_share).groupby("run")))
    columns = "task obs method metric kind line env_steps value low high".split()
    frames = [pd.DataFrame(columns=columns)]
    for (task, obs, method), mine in runs.groupby(["task", "obs", "label"]):
        there = [evaluations[run] for run in mine["run"] if run in evaluations]
        rest = [(Kind.TRAINING, run, training[run]) for run in mine["run"] if run in training]
        for metric in ("return", "cost"):
            for kind, name, points in [*_lines(there, metric), *rest]:
                value = points[metric]
                gap = value.isna()
                line = pd.DataFrame({"env_steps": points["env_steps"], "value": value})
                line["line"] = [f"{kind} {name} {part}" for part in gap.cumsum()]
                bounds = {name: points.get(name, np.nan) for name in ("low", "high")}
                line = line.assign(
                    task=task, obs=obs, method=method, metric=metric, kind=kind, **bounds
                )
                frames.append(line.loc[~gap, columns])
    frames = [frame for frame in frames if len(frame)] or frames
    return pd.concat(frames, ignore_index=True)


def _lines(runs: Sequence[pd.DataFrame], metric: str) -> Iterator[tuple[Kind, str, pd.DataFrame]]:
    """The mean of the runs and what each has outside its range; single runs if too few."""
    shared = band(pd.concat(runs), metric) if len(runs) >= MIN_RUNS else None
    if shared is None or shared.empty:
        yield from ((Kind.RUN, run["run"].iloc[0], run) for run in runs)
        return
    yield Kind.MEAN, "", shared
    first, last = shared["env_steps"].iloc[[0, -1]]
    for run in runs:
        name = run["run"].iloc[0]
        for rest in (run[run["env_steps"] <= first], run[run["env_steps"] >= last]):
            if len(rest) > 1:
                yield Kind.REST, f"{name} {rest['env_steps'].iloc[0]}", rest
