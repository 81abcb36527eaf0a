"""Means over seeds of any metric, with 95 % Student-t intervals, and paired differences between
methods.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.statistics.aggregates import improvement
from analysis.statistics.final import by_method
from analysis.statistics.intervals import mean_half_width
from analysis.statistics.paired import NoPairs, paired

# (question, method a, method b); the answer is the difference b - a; variants as suites name them
QUESTIONS: tuple[tuple[str, str, str], ...] = (
    ("what planning adds to a Lagrangian", "bsrp_lag", "osrp_lag"),
    ("what a Lagrangian adds to planning", "osrp", "osrp_lag"),
    ("what a Lagrangian does to an actor", "dreamerv3", "bsrp_lag"),
    ("what a constraint does to a planner", "cem", "osrp"),
    (
        "what the cost critic in the filter and `model.cost_share` add to a planner",
        "osrp [costs of the plan alone]",
        "osrp",
    ),
    (
        "`model.cost_share` instead of a margin in that filter",
        "osrp [margin instead of cost share]",
        "osrp",
    ),
    (
        "what the proposals of a constrained actor add to a planner",
        "osrp [planner, no multiplier]",
        "osrp [costs of the plan alone]",
    ),
    (
        "what they add to a planner with a multiplier",
        "osrp_lag [planner, PID]",
        "osrp_lag",
    ),
    (
        "what a multiplier adds to a planner without them",
        "osrp [planner, no multiplier]",
        "osrp_lag [planner, PID]",
    ),
    ("an augmented Lagrangian instead of a PID in an actor", "bsrp_lag [actor, PID]", "bsrp_lag"),
    ("what ten times the updates add to an actor", "bsrp_lag [a tenth of the updates]", "bsrp_lag"),
    (
        "what ten times the updates add to a planner with a multiplier",
        "osrp_lag [a tenth of the updates]",
        "osrp_lag",
    ),
    (
        "what four times the steps add to an actor, with half the updates per step",
        "bsrp_lag",
        "bsrp_lag [four times the steps]",
    ),
    ("SAC-Lag of this suite instead of OmniSafe's", "omnisafe_sac_lag", "sac_lag"),
    ("what single imagined steps add to SAC-Lag", "sac_lag", "dyna_lag"),
    ("what branched rollouts add to SAC-Lag", "sac_lag", "mbpo_lag"),
    ("what targets expanded by a model add to SAC-Lag", "sac_lag", "mve_lag"),
    ("a world model instead of none", "sac_lag", "bsrp_lag"),
    ("imagination with a posterior over models instead of one model", "bsrp_lag", "lambda"),
    ("a latent actor-critic instead of imagination", "bsrp_lag", "safe_slac"),
)


def means(scores: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """One row per task, observation and method: `seeds` with a value of the first metric, and for
    each metric its mean and `METRIC_half`, NaN below three seeds.

    A seed with an infinite value (a return that was never reached) makes the mean infinite.

    Args: scores, of `analysis.statistics.metrics.scores`.
    """
    rows = []
    for key, mine in by_method(scores):
        row = {**key, "seeds": int(mine[metrics[0]].notna().sum())}
        for name in metrics:
            values = mine[name].dropna().to_numpy(float)
            row[name] = values.mean() if len(values) else np.nan
            finite = np.isfinite(values).all()
            row[f"{name}_half"] = float(mean_half_width(values)) if finite else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def effects(scores: pd.DataFrame, metric: str, reps: int = 500) -> pd.DataFrame:
    """The answer to each of QUESTIONS by one metric, one row each, even if runs are missing.

    Columns: `question`, `a`, `b`, `pairs`, `mean_a`, `mean_b`, `difference` (b - a) with `low` and
    `high` (95 %), `p_corrected` (Holm over tasks), and `better`, the probability that a run of b is
    better than one of a. NaN, with 0 pairs, if a and b have no runs on a common task and seed.
    Raises ValueError for several runs of a method on one task and seed.
    """
    rows = []
    scored = scores[scores[metric].notna()]
    for question, a, b in QUESTIONS:
        row = {"question": question, "a": a, "b": b, "pairs": 0}
        both = scored[scored["method"].isin((a, b))]
        try:
            first = paired(scored, metric, a, b).iloc[0]
        except NoPairs:
            rows.append(row)
            continue
        row |= first.to_dict()
        better = improvement(both, metric, reps)
        row["better"] = better.loc[better["x"] == b, "probability"].iloc[0]
        rows.append(row)
    columns = "question a b pairs mean_a mean_b difference low high p_corrected better".split()
    return pd.DataFrame(rows).reindex(columns=columns)
