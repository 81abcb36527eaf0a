"""Costs incurred during training, as a table."""

from __future__ import annotations

import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.statistics.means import means
from analysis.tables.cells import Columns, listed
from analysis.tables.formats import plus_minus

COLUMNS: Columns = {
    "Task": lambda r: task_label(r["task"], r["obs"]),
    "Method": lambda r: method_label(r["method"]),
    "Cost of training": lambda r: plus_minus(r["total_cost"], r["total_cost_half"], 0),
    "Cost regret": lambda r: plus_minus(r["cost_regret"], r["cost_regret_half"], 0),
    "Episodes above the limit": lambda r: (
        plus_minus(100 * r["violation_rate"], 100 * r["violation_rate_half"], 0) + " %"
    ),
    "Worst 5 % of episodes": lambda r: plus_minus(r["cvar_cost"], r["cvar_cost_half"], 0),
    "Seeds": lambda r: r["seeds"],
}
METRICS = ("total_cost", "cost_regret", "violation_rate", "cvar_cost")
RARELY = 0.05  # share of training episodes above the limit


def training_cost_markdown(scores: pd.DataFrame) -> str:
    """Means over seeds; `scores` of `analysis.statistics.metrics.scores`."""
    table = means(scores, METRICS)
    within = [
        f"{method_label(r.method)} on {task_label(r.task, r.obs)}"
        for r in table.itertuples()
        if r.violation_rate <= RARELY
    ]
    note = (
        "Sums over all training episodes of a run, means over seeds. Cost regret sums what each "
        "episode cost beyond the limit. Training costs far more than a trained policy that obeys "
        "the limit, since an agent learns what is costly from the costs that it causes. "
        "Methods with at most "
        f"{100 * RARELY:.0f} % of training episodes above it: {', '.join(within) or 'none'}.\n"
    )
    return listed(table, COLUMNS) + "\n" + note
