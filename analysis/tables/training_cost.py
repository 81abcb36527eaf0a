"""Costs incurred during training, as a table."""

from __future__ import annotations

import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.statistics.means import means
from analysis.tables.formats import markdown, plus_minus

HEAD = (
    "Task", "Method", "Cost of training", "Cost regret", "Episodes above the limit",
    "Worst 5 % of episodes", "Seeds",
)  # fmt: skip
METRICS = ("total_cost", "cost_regret", "violation_rate", "cvar_cost")
RARELY = 0.05  # share of training episodes above the limit


def training_cost_markdown(scores: pd.DataFrame) -> str:
    """Means over seeds; `scores` of `analysis.statistics.metrics.scores`."""
    rows, within = [], []
    for r in means(scores, METRICS).to_dict("records"):
        task, method = task_label(r["task"], r["obs"]), method_label(r["method"])
        total, regret, worst = (
            plus_minus(r[name], r[f"{name}_half"], 0)
            for name in ("total_cost", "cost_regret", "cvar_cost")
        )
        above = plus_minus(100 * r["violation_rate"], 100 * r["violation_rate_half"], 0) + " %"
        rows.append([task, method, total, regret, above, worst, r["seeds"]])
        within += [f"{method} on {task}"] if r["violation_rate"] <= RARELY else []
    note = (
        "Sums over all training episodes of a run, means over seeds. Cost regret sums what each "
        "episode cost beyond the limit. Methods with at most "
        f"{100 * RARELY:.0f} % of training episodes above it: {', '.join(within) or 'none'}.\n"
    )
    return markdown(HEAD, rows) + "\n" + note
