"""Whether recordings of another implementation lie where further seeds of ours would.

Both are training curves, cut into equal parts. The recording's mean return and cost in each part
are compared with the prediction interval, from our seeds, of one more run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.results.frames import OURS, Results
from analysis.results.judge import usable
from analysis.statistics.intervals import MIN_RUNS, mean_half_width
from benchmarks.runs.records import TRAIN

PARTS = 4


def prediction_half_width(values: np.ndarray) -> float:
    """Half width of the 95 % interval in which the mean of one further run lies.

        t[n - 1, 0.975] * s * sqrt(1 + 1 / n) = sqrt(n + 1) * half width of the mean's interval

    NaN below three values.
    """
    return float(mean_half_width(values) * np.sqrt(len(values) + 1))


def recorded(results: Results) -> Iterator[tuple[str, str, pd.DataFrame, pd.DataFrame]]:
    """Task, observation, recordings and our runs, for each task with recordings, which are runs
    from another source than run folders.
    """
    runs = results.runs[results.runs["used"] & (results.runs["task"] != "")]
    for (task, obs), here in runs.groupby(["task", "obs"]):
        theirs = here["source"] != OURS
        if theirs.any():
            yield str(task), str(obs), here[theirs], here[~theirs]


def ambiguous(results: Results) -> list[tuple[str, str]]:
    """(task, observation) of recordings that are not compared: several labels of ours ran there."""
    return [(task, obs) for task, obs, _, ours in recorded(results) if ours["label"].nunique() > 1]


def agreement(results: Results, parts: int = PARTS) -> pd.DataFrame:
    """One row per task, recorded run, part of training and metric.

    Columns: `task`, `obs`, `run` (recorded), `method`, `seed`, `first`, `last` (simulator steps of
    the part; parts end where the shortest run ends), `metric`, `theirs`, `ours` (mean over our
    seeds, NaN without), `half` (of the prediction interval, NaN below three seeds), `seeds`,
    `within` (1, 0, NaN if unknown). Empty without recordings. Those on a task on which our runs
    have several labels are left out (`ambiguous`).
    """
    episodes = usable(results)
    training = episodes[episodes["split"] == TRAIN]
    rows = []
    for task, obs, theirs, ours in recorded(results):
        if ours["label"].nunique() > 1:
            continue
        mine = training[training["run"].isin([*theirs["run"], *ours["run"]])]
        end = mine.groupby("run")["env_steps"].max().min()
        edges = np.linspace(0, end, parts + 1)
        place = pd.cut(mine["env_steps"], edges, labels=False)
        means = mine.assign(part=place).groupby(["run", "part"])[["return", "cost"]].mean()
        # parts in which no run ended an episode get a column, too
        by_part = {m: means[m].unstack("part").reindex(columns=range(parts)) for m in means}
        for run, part, metric in itertools.product(
            theirs.itertuples(), range(parts), ("return", "cost")
        ):
            at = by_part[metric][part]
            values = at.reindex(ours["run"]).dropna().to_numpy(float)
            half = prediction_half_width(values)
            mean = values.mean() if len(values) else np.nan
            value = at.get(run.run, np.nan)
            known = len(values) >= MIN_RUNS and not np.isnan(value)
            within = float(abs(value - mean) <= half) if known else np.nan
            where = (task, obs, run.run, run.label, run.seed, *edges[part : part + 2])
            rows.append((*where, metric, value, mean, half, len(values), within))
    columns = "task obs run method seed first last metric theirs ours half seeds within"
    return pd.DataFrame(rows, columns=columns.split())
