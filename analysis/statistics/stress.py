"""Return and cost against the strength of a perturbation, and the strength at which cost exceeds
the limit.

Intervals are 95 % percentile bootstrap intervals over episodes, resampled within each run; every
strength gets the same resamples, since all strengths play the same layouts. They measure the
uncertainty about these policies, not the spread over training seeds.

Shapes: S strengths; N episodes of one run; B resamples.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.read.stress import UNDISTURBED
from analysis.results.labels import method_order
from analysis.statistics.intervals import LEVEL

REPS, SEED = 2000, 0
GROUP = ["method", "task", "obs"]


class Stress(NamedTuple):
    """Statistics of a stress test.

    `levels`: one row per method, task, perturbation and strength; `unit` of the strength, `return`
    and `cost`, each with `_low` and `_high`, `runs`, `episodes`.

    `thresholds`: one row per method, task and perturbation; `threshold` with `low` and `high`, all
    infinite if the limit is not exceeded, NaN without a limit.
    """

    levels: pd.DataFrame
    thresholds: pd.DataFrame


def crossing(strengths: np.ndarray, costs: np.ndarray, limit: float) -> np.ndarray:
    """The least strength at which costs [S, B] exceed the limit, [B].

    Interpolated linearly between the strengths [S] that were played, which ascend from 0; 0 if the
    undisturbed policy exceeds the limit, infinite if no strength does.
    """
    over = costs > limit
    first = over.argmax(0)
    columns = np.arange(costs.shape[1])
    before = np.maximum(first - 1, 0)
    low, high = costs[before, columns], costs[first, columns]
    share = (limit - low) / np.where(high > low, high - low, 1.0)
    found = strengths[before] + share * (strengths[first] - strengths[before])
    return np.where(over.any(0), np.where(first == 0, 0.0, found), np.inf)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """Percentiles of resamples [B], without interpolation, because values may be infinite."""
    tail = (1.0 - LEVEL) / 2.0
    low = np.quantile(samples, tail, method="lower")
    return float(low), float(np.quantile(samples, 1.0 - tail, method="higher"))


def stress(frame: pd.DataFrame, reps: int = REPS) -> Stress:
    """Statistics of the perturbed episodes of `analysis.read.stress.read`.

    Strengths that some run of a method has not played are left out.
    """
    own = frame[frame["task"] == frame["own_task"]]
    levels, thresholds = [], []
    for key, group in own.groupby(GROUP, sort=True):
        names = [name for name in group["perturbation"].unique() if name != UNDISTURBED]
        for name in names:
            chosen = group[group["perturbation"].isin([UNDISTURBED, name])]
            runs = [run for _, run in chosen.groupby("run_id")]
            strengths = sorted(set.intersection(*(set(run["strength"]) for run in runs)))
            if len(strengths) < 2 or strengths[0] != 0:
                continue
            head = dict(zip(GROUP, key)) | {"perturbation": name}
            returns, costs = (
                [_values(run, strengths, metric) for run in runs] for metric in ("return", "cost")
            )
            rng = np.random.default_rng(SEED)
            drawn = [rng.random((reps, table.shape[1])) for table in costs]
            curves = {"return": _means(returns, drawn), "cost": _means(costs, drawn)}
            counts = {"runs": len(runs), "episodes": sum(table.shape[1] for table in costs)}
            counts["unit"] = chosen.loc[chosen["perturbation"] == name, "unit"].iloc[0]
            for place, strength in enumerate(strengths):
                row = head | {"strength": strength}
                for metric, (mean, samples) in curves.items():
                    low, high = interval(samples[place])
                    row |= {metric: mean[place], f"{metric}_low": low, f"{metric}_high": high}
                levels.append(row | counts)
            mean, samples = curves["cost"]
            limit = float(chosen["cost_limit"].iloc[0])
            thresholds.append(head | _threshold(np.array(strengths), mean, samples, limit))
    return Stress(pd.DataFrame(levels), pd.DataFrame(thresholds))


def _threshold(
    strengths: np.ndarray, mean: np.ndarray, samples: np.ndarray, limit: float
) -> dict[str, float]:
    found = {"cost_limit": limit, "strongest": float(strengths[-1])}
    if np.isnan(limit):
        return found | dict.fromkeys(("threshold", "low", "high"), np.nan)
    low, high = interval(crossing(strengths, samples, limit))
    threshold = float(crossing(strengths, mean[:, None], limit)[0])
    return found | {"threshold": threshold, "low": low, "high": high}


def costlier(frame: pd.DataFrame, reps: int = REPS) -> pd.DataFrame:
    """Difference in cost between two methods under the same perturbation and layouts.

    One row per task, observation, pair `a`, `b` of methods, and perturbation: `difference`, mean
    cost of a - b over the strengths above 0 and layouts that all their runs played, with `low` and
    `high`, 95 % bootstrap over layouts, paired.

    Args: frame, of `analysis.read.stress.read`.
    """
    rows = []
    perturbed = frame[(frame["task"] == frame["own_task"]) & (frame["strength"] > 0)]
    for (task, obs, name), here in perturbed.groupby(["task", "obs", "perturbation"], sort=False):
        tables = {  # method -> a row per strength and layout, a column per run
            method: mine.pivot_table(index=["strength", "episode"], columns="run_id", values="cost")
            for method, mine in here.groupby("method")
        }
        for a, b in itertools.combinations(method_order(tables), 2):
            both = tables[a].dropna().mean(axis=1) - tables[b].dropna().mean(axis=1)
            layouts = both.dropna().unstack("strength").dropna().mean(axis=1).to_numpy()
            if not len(layouts):
                continue
            rng = np.random.default_rng(SEED)
            drawn = layouts[rng.integers(len(layouts), size=(reps, len(layouts)))].mean(axis=1)
            low, high = interval(drawn)
            row = {"task": task, "obs": obs, "perturbation": name, "a": a, "b": b}
            rows.append(row | {"difference": layouts.mean(), "low": low, "high": high})
    columns = ["task", "obs", "perturbation", "a", "b", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _values(run: pd.DataFrame, strengths: Sequence[float], metric: str) -> np.ndarray:
    """Values [S, N] of the episodes that were played at every strength."""
    table = run.pivot_table(index="strength", columns="episode", values=metric)
    return table.loc[list(strengths)].dropna(axis=1).to_numpy(float)


def _means(
    runs: Sequence[np.ndarray], drawn: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs of their means [S], and of resampled means [S, B].

    Args: runs, values [S, N] of each; drawn [B, N] in 0..1.
    """
    means, samples = [], []
    for values, unit in zip(runs, drawn):
        index = (unit * values.shape[1]).astype(int)
        means.append(values.mean(1))
        samples.append(values[:, index].mean(-1))
    return np.mean(means, axis=0), np.mean(samples, axis=0)


def matrix(frame: pd.DataFrame) -> pd.DataFrame:
    """Undisturbed episodes by method, trained task and played task.

    Columns: `return`, `cost`, `cost_limit`, `runs`, `episodes`; empty if every run played only its
    own task.
    """
    rows = frame[frame["perturbation"] == UNDISTURBED]
    if (rows["task"] == rows["own_task"]).all():
        return pd.DataFrame()
    grouped = rows.groupby(["method", "own_task", "task", "obs"], sort=True)
    of = {"return": "mean", "cost": "mean", "cost_limit": "first"}
    table = grouped.agg(of | {"run_id": "nunique", "episode": "size"})
    return table.rename(columns={"run_id": "runs", "episode": "episodes"}).reset_index()


def cost_and_errors(frame: pd.DataFrame, errors: pd.DataFrame) -> pd.DataFrame:
    """Return and cost of every cell beside the prediction errors of its world model.

    One row per run, task, perturbation, strength and number of steps ahead, with `obs`,
    `cost_limit`, the means `return` and `cost` over episodes, and the errors of
    `analysis.read.stress.read_errors`.
    """
    keys = ["run_id", "method", "task", "perturbation", "strength"]
    of = {"obs": "first", "cost_limit": "first", "return": "mean", "cost": "mean"}
    cells = frame.groupby(keys, sort=False).agg(of)
    return cells.reset_index().merge(errors, on=keys)
