"""Final performance and the cost limit, defined once for every table, figure and comparison.

A run's final return and cost are the means of the episodes that its frozen policy played on unseen
layouts after training (split "final"), if it has any, else of its last K evaluation episodes. A run
of another program that has only means over training episodes is judged by the last of these, as its
authors report it. A cost is *within the limit* if it is at most the limit that judges its run
(`analysis.results.judge.judged_by`): a seed is feasible if its final cost is, a method on a task if
the mean over its seeds is.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import numpy as np
import pandas as pd

from analysis.results.frames import Results, Status
from analysis.results.judge import judged_by, usable
from analysis.results.labels import method_order
from analysis.statistics.intervals import mean_half_width
from benchmarks.runs.records import EVAL, FINAL, TRAIN

VALUES = ("return", "cost")


class JudgedOn(StrEnum):
    """Source of the episodes that final values are means of."""

    FROZEN = "frozen policy"
    EVALUATIONS = "evaluations"
    TRAINING = "training means"


def within_limit(cost: pd.Series, limit: pd.Series) -> pd.Series:
    """1 if the cost is within the limit, 0 if not, NaN if either is unknown."""
    return (cost <= limit).astype(float).where(cost.notna() & limit.notna())


def cost_rate(training: pd.DataFrame) -> pd.Series:
    """Cost per simulator step of each run's training episodes; NaN where a cost is unknown."""
    grouped = training.groupby("run")
    columns = ["cost", "length"]
    sums = grouped[columns].sum().where(grouped[columns].count().eq(grouped.size(), axis=0))
    # formats without lengths still have the number of steps
    return sums["cost"] / sums["length"].fillna(grouped["env_steps"].max())


def episodes_until(results: Results, at: int | None = None) -> pd.DataFrame:
    """The episodes that count, up to and including a simulator step; None: all."""
    episodes = usable(results)
    return episodes if at is None else episodes[episodes["env_steps"] <= at]


def final_runs(results: Results, k: int = 10, at: int | None = None) -> pd.DataFrame:
    """One row per run that names a task and is not a duplicate, including runs without records;
    index `run`.

    Columns: `method` (the label), `task`, `obs`, `seed`, `tags`, `devices`, `per_episode`,
    `cost_limit` (that judges it), `env_steps`, `wall_hours`, `episodes` (that were averaged),
    `judged_on` (JudgedOn), final `return` and `cost` with their standard deviations over these
    episodes, `feasible` and `feasible_episodes` (the share within the limit). Values are NaN
    where an episode diverged, and for runs without evaluations.

    Args: k, evaluation episodes per run (all, if it has fewer); at, the last simulator step that
    counts. Raises ValueError for k < 1.
    """
    if k < 1:
        raise ValueError(f"k={k} must be at least 1")
    runs = results.runs[(results.runs["status"] != Status.DUPLICATE) & (results.runs["task"] != "")]
    kept = ["label", "task", "obs", "seed", "tags", "devices", "per_episode"]
    table = runs.set_index("run")[kept].rename(columns={"label": "method"})
    limits = judged_by(results.runs)
    table["cost_limit"] = [limits.get(run, np.nan) for run in table.index]
    table["per_episode"] = table["per_episode"].astype(bool)
    episodes = episodes_until(results, at)
    ends = episodes.groupby("run", sort=False)[["env_steps", "wall_seconds"]].max()
    table["env_steps"] = ends["env_steps"].reindex(table.index).fillna(0).astype("int64")
    table["wall_hours"] = ends["wall_seconds"].reindex(table.index) / 3600.0
    last = _last_episodes(episodes, table, k)
    within = within_limit(last["cost"], last["run"].map(table["cost_limit"]).astype(float))
    single = last["run"].map(table["per_episode"]).astype(bool)
    grouped = last.assign(feasible_episodes=within.where(single)).groupby("run")
    columns = [*VALUES, "feasible_episodes"]
    # pandas means skip NaN, but one diverged episode, or one without a limit, makes the mean NaN
    complete = grouped[columns].count().eq(grouped.size(), axis=0)
    spread = grouped[list(VALUES)].std(ddof=1).where(complete[list(VALUES)]).add_suffix("_std")
    table = table.join(grouped[columns].mean().where(complete)).join(spread)
    table["episodes"] = grouped.size().reindex(table.index).fillna(0).astype("int64")
    table["judged_on"] = grouped["judged_on"].first().reindex(table.index).fillna("")
    table["feasible"] = within_limit(table["cost"], table["cost_limit"])
    return table


def _last_episodes(episodes: pd.DataFrame, table: pd.DataFrame, k: int) -> pd.DataFrame:
    frozen = episodes[episodes["split"] == FINAL].assign(judged_on=JudgedOn.FROZEN)
    evaluations = episodes[(episodes["split"] == EVAL) & ~episodes["run"].isin(set(frozen["run"]))]
    ordered = evaluations.sort_values(["run", "env_steps", "episode"], kind="stable")
    last = ordered.groupby("run").tail(k).assign(judged_on=JudgedOn.EVALUATIONS)
    judged = {*frozen["run"], *evaluations["run"]}
    means = set(table.index[~table["per_episode"]]) - judged
    training = episodes[(episodes["split"] == TRAIN) & episodes["run"].isin(means)]
    final = training.sort_values("env_steps", kind="stable").groupby("run").tail(1)
    return pd.concat([frozen, last, final.assign(judged_on=JudgedOn.TRAINING)])


def performance(runs: pd.DataFrame) -> pd.DataFrame:
    """Final performance: one row per task, observation and method with any run.

    Columns: `task`, `obs`, `method`; `return` and `cost`, means over seeds, each with `_half` (half
    the 95 % Student-t interval, NaN below three seeds) and `_std` (over all episodes); `feasible`
    (share of seeds within the limit), `feasible_episodes` (share of episodes), `cost_limit` (NaN
    for several), `episodes`, `seeds` (with values) of `runs` (found), `seed_names`,
    `env_steps_min`, `env_steps`, `wall_hours` (longest), `judged_on`, and `best`: the highest
    return of its task among methods that are within the limit and have at least two seeds.

    Args: runs, frame of `final_runs` or `analysis.statistics.metrics.scores`.
    """
    table = pd.DataFrame([key | _row(mine) for key, mine in by_method(runs)])
    if table.empty:
        return table.assign(best=False)
    allowed = (within_limit(table["cost"], table["cost_limit"]) == 1.0) & (table["seeds"] > 1)
    first = table[allowed].groupby(["task", "obs"])["return"].idxmax()
    return table.assign(best=table.index.isin(first))


def by_method(runs: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """(`task`, `obs` and `method`, its rows) in the order of tables."""
    for (task, obs), here in runs.groupby(["task", "obs"], sort=True):
        for method in method_order(here["method"]):
            key = {"task": task, "obs": obs, "method": method}
            yield key, here[here["method"] == method]


def _row(runs: pd.DataFrame) -> dict[str, object]:
    found = runs[runs["return"].notna()]
    limits = set(runs["cost_limit"].dropna())
    row: dict[str, object] = {}
    for column in VALUES:
        values = runs[column].dropna().to_numpy(float)
        row[column] = values.mean() if len(values) else np.nan
        row[f"{column}_half"] = float(mean_half_width(values))
        row[f"{column}_std"] = _pooled_std(runs, column)
    return row | {
        "feasible": runs["feasible"].mean(),
        "feasible_episodes": runs["feasible_episodes"].mean(),
        "cost_limit": limits.pop() if len(limits) == 1 else np.nan,
        "episodes": int(runs["episodes"].sum()),
        "seeds": len(found),
        "runs": len(runs),
        "seed_names": " ".join(map(str, sorted(found["seed"].dropna()))),
        "env_steps_min": found["env_steps"].min() if len(found) else 0,
        "env_steps": found["env_steps"].max() if len(found) else 0,
        "wall_hours": found["wall_hours"].max() if len(found) else np.nan,
        "judged_on": ", ".join(sorted({kind for kind in runs["judged_on"] if kind})),
    }


def _pooled_std(runs: pd.DataFrame, column: str) -> float:
    """Standard deviation over all episodes, from the means and standard deviations of the runs."""
    known = runs[runs[column].notna()]
    counts, means = known["episodes"], known[column]
    if counts.sum() < 2:
        return float("nan")
    centre = (counts * means).sum() / counts.sum()
    inner = ((counts - 1) * known[f"{column}_std"].fillna(0.0) ** 2).sum()
    return float(np.sqrt((inner + (counts * (means - centre) ** 2).sum()) / (counts.sum() - 1)))
