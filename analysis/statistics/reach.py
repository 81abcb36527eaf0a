"""Simulator steps that methods need to reach, within the cost limit, the final return of model-free
methods.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.results.frames import Results
from analysis.results.judge import usable
from analysis.results.labels import method_order, without_variant
from analysis.statistics import paper
from analysis.statistics.final import performance, within_limit
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.series import evaluation_points

MODEL_FREE = frozenset((*paper.MODEL_FREE, "sac", "sac_lag"))
SHARE = 0.9  # of the highest final return of a model-free method within the limit
COLUMNS = (
    "task", "obs", "cost_limit", "target", "best", "method", "reached", "seeds", "steps", "once",
    "budget", "factor",
)  # fmt: skip


def first_within(points: pd.DataFrame, limit: float, target: float) -> float:
    """Simulator steps of the first evaluation with at least this return at a cost within the limit.

    Infinite if there is none; NaN if the target or the limit is unknown.

    Args: points, rows of one run of `analysis.statistics.series.evaluation_points`.
    """
    if np.isnan(target) or np.isnan(limit):
        return float("nan")
    within = within_limit(points["cost"], pd.Series(limit, points.index)) == 1.0
    steps = points.loc[within & (points["return"] >= target), "env_steps"]
    return float(steps.min()) if len(steps) else float("inf")


def reach(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per task, observation, cost limit and method.

    Columns: `target`, SHARE of the highest mean final return of a model-free method (`best`, with
    three seeds if any has them) whose mean cost is within the limit; `reached`, how many `seeds`
    reach it within the limit; `steps`, the median over seeds of the simulator steps to it, infinite
    if half of them do not; `once`, whether a run was evaluated only at its end, so that `steps` is
    an upper bound; `budget`, the most steps of a run; `factor`, the fewest known steps of a
    model-free method divided by `steps` (NaN if either is infinite or a bound). No rows for tasks
    without a model-free method within the limit.

    Args: scores, of `analysis.statistics.metrics.scores`.
    """
    points = dict(list(evaluation_points(usable(results)).groupby("run")))
    judged = scores[scores["run"].isin(points)]
    frames = [pd.DataFrame(columns=list(COLUMNS))]
    for (task, obs, limit), here in judged.groupby(["task", "obs", "cost_limit"]):
        final = performance(here)
        learners = final["method"].map(without_variant).isin(MODEL_FREE)
        ends = final[learners & (within_limit(final["cost"], final["cost_limit"]) == 1.0)]
        if ends.empty:
            continue
        several = ends[ends["seeds"] >= MIN_RUNS]  # one lucky seed must not set the target
        ends = several if len(several) else ends
        best = ends.loc[ends["return"].idxmax()]
        target = SHARE * best["return"]
        curves = [points[run] for run in here["run"]]
        seeds = here[["method"]].assign(
            steps=[first_within(each, limit, target) for each in curves],
            once=[len(each) == 1 for each in curves],
            budget=here["env_steps"].astype(float),
        )
        grouped = seeds.assign(reached=np.isfinite(seeds["steps"])).groupby("method")
        of = {"reached": "sum", "steps": "median", "once": "any", "budget": "max"}
        table = grouped.agg(of).assign(seeds=grouped.size()).loc[method_order(here["method"])]
        known = table["steps"].where(np.isfinite(table["steps"]) & ~table["once"])
        fewest = known[known.index.isin(final.loc[learners, "method"])].min()
        about = {"task": task, "obs": obs, "cost_limit": limit, "target": target}
        about |= {"best": best["method"], "factor": fewest / known}
        frames.append(table.assign(**about).reset_index()[list(COLUMNS)])
    return pd.concat(frames[1:] or frames, ignore_index=True)
