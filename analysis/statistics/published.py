"""Published scores of others as one table, each row with its protocol.

The files are described in `analysis.data`. Tasks of the old Safety-Gym are listed under the
Safety-Gymnasium task that re-creates them, and their protocol says so.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import pandas as pd

from analysis.read.foreign.common import METHODS

COLUMNS = [
    "method", "task", "obs", "env_steps", "seeds", "return", "return_std", "cost", "cost_std",
    "cost_limit", "source", "protocol",
]  # fmt: skip
SAFETY_GYM_METHODS = {
    "ppo_lagrangian": "ppo_lag",
    "trpo_lagrangian": "trpo_lag",
    "LAMBDA": "lambda",
    "CEM-MPC": "cem_mpc",
}
SAFETY_GYM_LIMIT = 25.0  # per episode; Ray et al. (2019), section 5, and LAMBDA (arXiv:2201.09802)
# An episode of Circle has 500 steps, each worth at most 0.1 times the speed, and a Point reaches
# 1.5 m/s: its motor's 0.015 N against a damping of 0.01 N s/m. So in Safety-Gymnasium 0.1 to 1.0.
MAX_RETURN = {"SafetyPointCircle1-v0": 75.0}
IMPOSSIBLE = (
    "; not comparable: returns of its table exceed the most that an episode of this task can give, "
    "and fit episodes of twice the length"
)


def published(methods: frozenset[str] | None = None) -> pd.DataFrame:
    """All rows, or those of some methods, sorted by task, method and steps: COLUMNS.

    NaN where the source gives no value.
    """
    table = pd.concat([_omnisafe(), _safety_gym(), _safedreamer()], ignore_index=True)[COLUMNS]
    table = table if methods is None else table[table["method"].isin(methods)]
    return table.sort_values(["task", "method", "env_steps"], kind="stable", ignore_index=True)


def read(name: str) -> pd.DataFrame:
    """A file of `analysis.data`."""
    with resources.files("analysis.data").joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file)


def _omnisafe() -> pd.DataFrame:
    table = read("omnisafe_published.csv")
    # comparisons by reward alone are not about safe learning
    table = table[table["cost_mean"].notna()]
    renamed = {"reward_mean": "return", "reward_std": "return_std", "cost_mean": "cost"}
    table = table.rename(columns=renamed).assign(
        method=table["algorithm"].map(lambda name: METHODS.get(name, name)), obs="lidar"
    )
    highest = table.groupby(["source", "family", "task"])["return"].transform("max")
    possible = highest <= table["task"].map(MAX_RETURN).fillna(np.inf)
    protocol = table.apply(_omnisafe_protocol, axis=1)
    return table.assign(protocol=protocol.where(possible, protocol + IMPOSSIBLE))


def _omnisafe_protocol(row) -> str:
    steps = "steps not stated" if np.isnan(row.env_steps) else f"{row.env_steps / 1e6:g}M sim steps"
    seeds = "seeds not stated" if np.isnan(row.seeds) else f"{row.seeds:g} seeds"
    limit = (
        "cost limit not stated" if np.isnan(row.cost_limit) else f"cost limit {row.cost_limit:g}"
    )
    return (
        f"{row.source}, {row.family}: {steps}, {seeds}, {limit}, flat observation; ± is one "
        "standard deviation"
    )


def _safety_gym() -> pd.DataFrame:
    table = read("safety_gym_scores.csv").rename(columns={"reward": "return"})
    return table.assign(
        method=table["algorithm"].map(lambda name: SAFETY_GYM_METHODS.get(name, name)),
        obs=table["algorithm"].map({"LAMBDA": "vision", "CEM-MPC": ""}).fillna("lidar"),
        protocol=[
            f"{row.task} of the old Safety-Gym after {row.env_steps / 1e6:g}M sim steps, cost "
            f"limit {SAFETY_GYM_LIMIT:g}, {row.source}"
            for row in table.itertuples()
        ],
        task=table["task"].str.replace("Safexp-", "Safety"),
        seeds=np.nan,
        return_std=np.nan,
        cost_std=np.nan,
        cost_limit=SAFETY_GYM_LIMIT,
    )


def _safedreamer() -> pd.DataFrame:
    """Excludes rows that, by their notes, are of perturbed environments or not a result."""
    table = read("safedreamer_published.csv").rename(
        columns={"reward": "return", "observation": "obs"}
    )
    table = table[~table["notes"].str.startswith(("PERTURBED", "INVALID"))]
    nothing = dict.fromkeys(("seeds", "return_std", "cost_std", "cost_limit"), np.nan)
    return table.assign(protocol=table["source"] + ": " + table["notes"], **nothing)
