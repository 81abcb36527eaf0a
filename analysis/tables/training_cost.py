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
    table = means(scores, METRICS)
    rows = [
        [
            task_label(r["task"], r["obs"]),
            method_label(r["method"]),
            plus_minus(r["total_cost"], r["total_cost_half"], 0),
            plus_minus(r["cost_regret"], r["cost_regret_half"], 0),
            plus_minus(100 * r["violation_rate"], 100 * r["violation_rate_half"], 0) + " %",
            plus_minus(r["cvar_cost"], r["cvar_cost_half"], 0),
            r["seeds"],
        ]
        for r in table.to_dict("records")
    ]
    within = [
        f"{method_label(r['method'])} on {task_label(r['task'], r['obs'])}"
        for r in table.to_dict("records")
        if r["violation_rate"] <= RARELY
    ]
    note = (
        "Sums over all training episodes of a run, means over seeds. Cost regret sums what each "
        "episode cost beyond the limit. Methods with at most "
        f"{100 * RARELY:.0f} % of training episodes above it: {', '.join(within) or 'none'}.\n"
    )
    return markdown(HEAD, rows) + "\n" + note
