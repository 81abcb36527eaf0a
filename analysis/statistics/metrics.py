"""One row of metrics per run: performance, cost and speed.

Pure functions of `Results`; METRICS defines each.

A metric that is undefined for a run is NaN, never 0: imported means have no episodes to count
violations in, a run without evaluations has no final return, a limit of zero cannot be divided by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.results.frames import Results
from analysis.results.judge import usable
from analysis.statistics.final import cost_rate, episodes_until, final_runs, within_limit
from analysis.statistics.reach import first_within
from analysis.statistics.references import references as find_references
from analysis.statistics.series import evaluation_points
from benchmarks.runs.records import EVAL, TRAIN

WORST_SHARE = 0.05  # of episodes, in `cvar_cost`
TARGET_SHARE = 0.5  # of the reference return, in `steps_to_return`
VIOLATION_EPS = 1e-6  # Ray et al. (2019)
# columns of `scores` beside the metrics
ABOUT = ("method", "task", "obs", "seed", "run", "tags", "cost_limit", "env_steps", "judged_on",
         "episodes", "return_std", "cost_std")  # fmt: skip

RAY = (
    "Ray, Achiam, Amodei (2019), Benchmarking Safe Exploration in Deep Reinforcement Learning, "
    "section 5"
)


class Metric(NamedTuple):
    """Definition of a column of `scores`.

    `target` is the value from which the optimality gap of Agarwal et al. (2021) is measured; NaN:
    no gap.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool
    source: str
    target: float = float("nan")


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("return", "Episode return", "reward", True, f"average episodic return: {RAY}"),
        Metric("cost", "Episode cost", "cost", False, f"average episodic cost: {RAY}"),
        Metric("cost_over_limit", "Cost / limit", "", False,
            "episode cost divided by the cost limit; 1 is the limit", 1.0),
        Metric("cost_rate", "Cost rate", "cost per sim step", False,
            f"total training cost / total training steps: {RAY}"),
        Metric("total_cost", "Training cost", "cost", False,
            "sum of the costs of all training episodes"),
        Metric("cost_regret", "Cost regret", "cost", False,
            "sum over training episodes of max(0, cost - limit)"),
        Metric("feasible", "Feasible seeds", "share", True,
            "1 if the mean final cost of the seed is within the limit", 1.0),
        Metric("feasible_episodes", "Feasible episodes", "share", True,
            "share of final episodes within the limit", 1.0),
        Metric("violation_rate", "Violation rate", "share", False,
            "share of training episodes above the limit", 0.0),
        Metric(
            "cvar_cost", "Worst 5 % cost", "cost", False,
            "mean of the worst 5 % of training episodes: conditional value at risk, "
            "Rockafellar and Uryasev (2000)",
        ),
        Metric("auc_return", "Mean return over training", "reward", True,
            "area under the evaluation curve / its length"),
        Metric(
            "steps_to_return", "Steps to half of PPO's return", "sim steps", False,
            "first evaluation that reaches half the reference return within the cost limit; "
            "infinite if none does",
        ),
        Metric("wall_hours", "Wall clock", "h", False, "wall clock of the run, resumes included"),
        Metric("gpu_hours", "GPU time", "h", False,
            "wall clock times GPUs of the run; NaN without a GPU"),
        Metric("normalised_return", "Normalised return", "", True,
            f"return / that of unconstrained PPO: {RAY}", 1.0),
        Metric("normalised_cost", "Normalised cost", "", False, "cost / that of unconstrained PPO",
            0.0),
        Metric(
            "normalised_violation", "Normalised violation", "", False,
            f"max(0, cost - limit) / max(1e-6, that of unconstrained PPO - limit): {RAY}", 0.0,
        ),
        Metric("normalised_cost_rate", "Normalised cost rate", "", False,
            f"cost rate / that of PPO: {RAY}", 0.0),
    )
}  # fmt: skip


def scores(
    results: Results, k: int = 10, at: int | None = None, constants: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row of metrics per run that names a task and is not a duplicate, including runs without
    records.

    Columns: ABOUT, which describes the run and its final values, and METRICS.

    Args:
        k: evaluation episodes that final values are means of (fewer if a run has fewer).
        at: the last simulator step that counts, for comparisons at equal progress
            (`equal_progress`).
        constants: as `analysis.statistics.references.references` returns them; found from the
            results if not given.
    Raises ValueError for k < 1.
    """
    table = final_runs(results, k, at)
    constants = find_references(results, k) if constants is None else constants
    episodes = episodes_until(results, at)
    episodes = episodes[episodes["run"].isin(table.index)]
    single = episodes["run"].isin(table.index[table["per_episode"]])
    training = episodes[(episodes["split"] == TRAIN) & single]
    table = table.join(_training(training, table["cost_limit"]))
    table["gpu_hours"] = table["wall_hours"] * table["devices"].map(_gpus)
    by_task = constants.set_index("task").reindex(table["task"]).set_axis(table.index)
    table = _against(table, by_task)
    target = TARGET_SHARE * by_task["return"]
    table = table.join(_curve(episodes, table["cost_limit"], target))
    return table.reset_index()[[*ABOUT, *METRICS]]


def equal_progress(results: Results) -> int:
    """The last simulator step up to which all runs with evaluations were evaluated; else 0."""
    episodes = usable(results)
    last = episodes[episodes["split"] == EVAL].groupby("run")["env_steps"].max()
    return int(last.min()) if len(last) else 0


def worst_mean(values: np.ndarray, share: float = WORST_SHARE) -> float:
    """Mean of the largest `share` of values [n]; NaN if there are none.

    Conditional value at risk (Rockafellar and Uryasev 2000). If share * n is not an integer, the
    last value counts in part; if it is below 1, the result is the largest value.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share={share} must lie in 0..1")
    values = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    if not len(values):
        return float("nan")
    weight = max(1.0, share * len(values))
    whole = int(weight)
    rest = (weight - whole) * values[whole] if weight > whole else 0.0
    return float((values[:whole].sum() + rest) / weight)


def _against(table: pd.DataFrame, by_task: pd.DataFrame) -> pd.DataFrame:
    """Add metrics relative to the cost limit and to unconstrained PPO."""
    limit, cost = table["cost_limit"], table["cost"]
    worst = np.maximum(VIOLATION_EPS, by_task["cost"] - limit)
    return table.assign(
        cost_over_limit=cost / limit.where(limit > 0),
        normalised_return=table["return"] / by_task["return"],
        normalised_cost=cost / by_task["cost"],
        normalised_violation=np.maximum(0.0, cost - limit) / worst,
        normalised_cost_rate=table["cost_rate"] / by_task["cost_rate"],
    )


def _training(training: pd.DataFrame, limit_of: pd.Series) -> pd.DataFrame:
    """Metrics of training, for runs whose single training episodes are known."""
    limit = training["run"].map(limit_of).astype(float)
    over = (training["cost"] - limit).clip(lower=0.0)
    violated = 1.0 - within_limit(training["cost"], limit)
    grouped = training.assign(over=over, violated=violated).groupby("run")
    columns = ["cost", "over", "violated"]
    sums = grouped[columns].sum().where(grouped[columns].count().eq(grouped.size(), axis=0))
    return pd.DataFrame(
        {
            "cost_rate": cost_rate(training),
            "total_cost": sums["cost"],
            "cost_regret": sums["over"],
            "violation_rate": sums["violated"] / grouped.size(),
            "cvar_cost": grouped["cost"].agg(worst_mean),
        }
    )


def _curve(episodes: pd.DataFrame, limit_of: pd.Series, target: pd.Series) -> pd.DataFrame:
    rows = {}
    for run, mine in evaluation_points(episodes).groupby("run"):
        steps, returns = mine["env_steps"].to_numpy(float), mine["return"].to_numpy()
        length = steps[-1] - steps[0]
        area = np.trapezoid(returns, steps) / length if length else returns[0]
        rows[run] = (area, first_within(mine, limit_of[run], target[run]))
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["auc_return", "steps_to_return"], dtype=float
    )


def _gpus(devices: str) -> float:
    count = sum(device.strip().startswith(("gpu", "cuda", "rocm")) for device in devices.split(";"))
    return float(count) if count else float("nan")
