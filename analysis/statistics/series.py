"""Episodes to the series that curves draw.

Evaluation points per run, the part all runs share, smoothed training episodes.

Pure functions on DataFrames and arrays; R runs, P points.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.statistics.intervals import mean_half_width
from benchmarks.runs.records import EVAL, TRAIN


class Band(NamedTuple):
    """Mean over runs [P] at `env_steps` [P] with its 95 % interval.

    The interval is NaN with fewer than three runs.
    """

    env_steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def evaluation_points(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per run and evaluation.

    `run`, `env_steps`, mean `return` and `cost` of its episodes, `episodes` their number.
    """
    return _points(episodes[episodes["split"] == EVAL])


def training_points(episodes: pd.DataFrame, share: float = 0.1) -> pd.DataFrame:
    """Training episodes per run, smoothed by a centred rolling mean over `share` of its points (at
    least one).

    Episodes that ended at the same simulator step (several environments) are averaged first. A mean
    over an episode that diverged (NaN or infinite) is NaN: a gap, not the mean of the others.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share={share} must lie in 0..1")
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
    points = grouped.agg(
        **{"return": ("return", "mean"), "cost": ("cost", "mean"), "episodes": ("cost", "size")}
    )
    # mean skips NaN: a diverged episode must show as a gap, not vanish from its mean
    diverged = grouped[["return", "cost"]].count().lt(points["episodes"], axis=0)
    points[["return", "cost"]] = points[["return", "cost"]].mask(diverged)
    return points.reset_index()


def band(points: pd.DataFrame, column: str) -> Band:
    """Mean and interval over all runs of `points`, on the union of their evaluation steps that
    every run covers.

    A run evaluated at other steps is interpolated linearly. Beyond the shortest run nothing is
    returned: a mean over fewer runs would look like a change of the method.
    """
    runs = [run for _, run in points.groupby("run", sort=True)]
    start, end = max(r["env_steps"].min() for r in runs), min(r["env_steps"].max() for r in runs)
    grid = np.unique(points["env_steps"].to_numpy())
    grid = grid[(grid >= start) & (grid <= end)]
    values = np.stack([np.interp(grid, r["env_steps"], r[column]) for r in runs])
    mean, half = values.mean(axis=0), mean_half_width(values)
    return Band(grid, mean, mean - half, mean + half)
