"""Final performance per task and method, and the list of all runs, as DataFrames, Markdown and CSV
text.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.read.labels import method_label, method_order, task_label
from analysis.read.results import DUPLICATE, Results, gaps, judged_by, usable
from analysis.statistics.intervals import MIN_RUNS, mean_half_width
from analysis.tables.formats import NONE, csv_text, markdown, number, plus_minus, steps
from benchmarks.runs.records import EVAL

__all__ = [
    "csv_text",
    "final_performance",
    "gaps_markdown",
    "last_evaluations",
    "markdown",
    "performance_markdown",
    "runs_markdown",
]

_PERFORMANCE_HEAD = (
    "Method",
    "Return",
    "Cost",
    "Within limit",
    "Cost limit",
    "Episodes",
    "Runs",
    "Seeds",
    "Simulator steps",
    "Minutes",
)
_RUNS_HEAD = (
    "Run",
    "Method",
    "Seed",
    "Status",
    "Training",
    "Evaluation",
    "Simulator steps",
    "Damaged lines",
    "Notes",
)


def last_evaluations(results: Results, k: int) -> pd.DataFrame:
    """The last `k` evaluation episodes of every usable run (all, where it has fewer), with a column
    `cost_limit`.

    See `analysis.read.load.judged_by` for the limit of a method that pursues none.
    """
    if k < 1:
        raise ValueError(f"k={k} must be at least 1")
    episodes = usable(results)
    order = episodes[episodes["split"] == EVAL].sort_values(
        ["run", "env_steps", "episode"], kind="stable"
    )
    last = order.groupby("run").tail(k)
    return last.assign(cost_limit=last["run"].map(judged_by(results.runs)).astype(float))


def final_performance(results: Results, k: int = 10) -> pd.DataFrame:
    """One row per task, observation and method (with its variant) that any run was meant for,
    methods in the order of `analysis.read.labels`.

    Over the last `k` evaluation episodes of each run: `return_mean`, `cost_mean` (mean of the runs'
    means, so that every seed counts the same), `return_half`, `cost_half` (half width of the 95 %
    Student-t interval over runs, NaN below three), `return_std`, `cost_std` (over episodes),
    `within_limit` (share of episodes with cost <= limit), `episodes`. `runs` were averaged of
    `runs_found`; `env_steps_min`, `env_steps_max` and `wall_minutes` (longest) are what they
    reached.
    """
    last = last_evaluations(results, k)
    runs = results.runs[(results.runs["task"] != "") & (results.runs["status"] != DUPLICATE)]
    rows = [
        _row(dict(zip(("task", "obs", "method"), key)), group, last[last["run"].isin(group["run"])])
        for key, group in runs.groupby(["task", "obs", "label"])
    ]
    order = method_order(runs["label"])
    rows.sort(key=lambda row: (row["task"], row["obs"], order.index(row["method"])))
    return pd.DataFrame(rows)


def _row(key: dict[str, str], runs: pd.DataFrame, last: pd.DataFrame) -> dict[str, object]:
    per_run = [episodes for _, episodes in last.groupby("run")]
    evaluated = runs[runs["run"].isin(last["run"])]
    limits = sorted(set(last["cost_limit"].dropna()))
    row: dict[str, object] = dict(key)
    row |= {
        "runs": len(evaluated),
        "runs_found": len(runs),
        "seeds": " ".join(map(str, sorted(evaluated["seed"].dropna()))),
    }
    row["episodes"] = len(last)
    for column in ("return", "cost"):
        means = np.array([episodes[column].mean(skipna=False) for episodes in per_run])
        row[f"{column}_mean"] = means.mean() if len(means) else np.nan
        row[f"{column}_half"] = float(mean_half_width(means))
        row[f"{column}_std"] = last[column].std(ddof=1, skipna=False) if len(last) > 1 else np.nan
    judged = len(last) > 0 and last["cost_limit"].notna().all()
    row["within_limit"] = (last["cost"] <= last["cost_limit"]).mean() if judged else np.nan
    row["cost_limit"] = limits[0] if len(limits) == 1 else np.nan
    row["env_steps_min"] = evaluated["env_steps"].min() if len(evaluated) else 0
    row["env_steps_max"] = evaluated["env_steps"].max() if len(evaluated) else 0
    row["wall_minutes"] = evaluated["wall_seconds"].max() / 60.0 if len(evaluated) else np.nan
    return row


def performance_markdown(table: pd.DataFrame, k: int) -> str:
    """The table of `final_performance` for people, with what its numbers mean underneath."""
    several = table["task"].nunique() * table["obs"].nunique() > 1
    head = (["Task"] if several else []) + [*_PERFORMANCE_HEAD]
    rows = []
    for r in table.itertuples():
        cells = [task_label(r.task, r.obs)] if several else []
        cells += [
            method_label(r.method),
            plus_minus(r.return_mean, r.return_half),
            plus_minus(r.cost_mean, r.cost_half),
        ]
        cells += [number(100.0 * r.within_limit, 0, " %"), number(r.cost_limit, 6), str(r.episodes)]
        cells += [f"{r.runs} of {r.runs_found}", r.seeds or NONE]
        cells += [steps(r.env_steps_min, r.env_steps_max), number(r.wall_minutes, 1)]
        rows.append(cells)
    notes = [
        f"Mean over the last {k} evaluation episodes of each run (fewer where the episode "
        "count says so), then over runs.",
        "“Within limit” is the share of these episodes whose cost is at most the cost limit.",
    ]
    if (table["runs"] >= MIN_RUNS).any():
        notes.append("± is half the width of the 95 % Student-t interval over runs.")
    if (table["runs"] < MIN_RUNS).any():
        notes.append(
            f"Rows with fewer than {MIN_RUNS} runs have no interval: none could be trusted."
        )
    if (table["runs"] < table["runs_found"]).any():
        notes.append(
            "Some runs have no evaluation and are not part of the means; they are listed below."
        )
    return markdown(head, rows) + "\n" + "\n".join(notes) + "\n"


def runs_markdown(results: Results) -> str:
    """Every run folder with its status, its numbers of episodes and what is wrong with it, then the
    damaged lines.
    """
    rows = []
    for r in results.runs.itertuples():
        reached = steps(r.env_steps, r.env_steps) + (
            "" if np.isnan(r.budget_env_steps) else f" of {r.budget_env_steps:,.0f}"
        )
        seed = NONE if pd.isna(r.seed) else str(r.seed)
        method = method_label(r.label) or NONE
        rows.append(
            [
                r.run,
                method,
                seed,
                r.status,
                r.train_episodes,
                r.eval_episodes,
                reached,
                r.damaged_lines,
                r.notes,
            ]
        )
    text = markdown(_RUNS_HEAD, rows)
    if len(results.damage):
        text += "\nDamaged lines, not counted above:\n\n"
        text += "".join(
            f"- {d.run}/{d.file} line {d.line}: {d.reason}\n" for d in results.damage.itertuples()
        )
    return text


def gaps_markdown(results: Results) -> str:
    """The runs that would complete the grid of methods, tasks and seeds.

    "" when none is missing.
    """
    missing = gaps(results)
    if missing.empty:
        return ""
    rows = []
    for (method, task, obs, reason), mine in missing.groupby(
        ["label", "task", "obs", "reason"], sort=True
    ):
        rows.append(
            [
                method_label(method),
                task_label(task, obs),
                " ".join(map(str, mine["seed"])),
                reason,
            ]
        )
    return "\nMissing for a full grid:\n\n" + markdown(("Method", "Task", "Seeds", "Reason"), rows)
