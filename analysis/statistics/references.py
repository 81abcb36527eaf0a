"""Constants that normalise returns and costs: those of unconstrained PPO (Ray et al. 2019).

`data/references.csv` holds the published ones with source and protocol. For other tasks they are
computed from the runs of unconstrained PPO among the results, which `references` records; without
such runs, normalised metrics are NaN.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.results.frames import Results
from analysis.results.judge import usable
from analysis.statistics.final import cost_rate, final_runs
from analysis.statistics.published import read
from benchmarks.runs.records import TRAIN

METHOD = "ppo"  # unconstrained, of our own runs
PUBLISHED, COMPUTED, NONE = "published", "computed from runs", "none"
COLUMNS = ("return", "cost", "cost_rate")


def references(results: Results, k: int = 10) -> pd.DataFrame:
    """One row per task of the results.

    `task`, the three constants, `kind` (published, computed from runs, none), `source`.

    Published constants take precedence; values that a published row lacks (OmniSafe tables have no
    cost rate), and tasks without a row, are computed from unconstrained PPO among the results: mean
    over runs of the last `k` evaluation episodes, and of training cost per training step.
    """
    known = read("references.csv").set_index("task")
    ours = _from_runs(results, k)
    rows = []
    for task in sorted(set(results.runs["task"]) - {""}):
        row, kind, sources = dict.fromkeys(COLUMNS, np.nan), NONE, []
        if task in known.index:
            row, kind = known.loc[task, list(COLUMNS)].to_dict(), PUBLISHED
            sources = [f"{known.at[task, 'source']}: {known.at[task, 'protocol']}"]
        lacking = [c for c in COLUMNS if np.isnan(row[c])]
        if lacking and task in ours.index:
            row |= {c: ours.at[task, c] for c in lacking}
            filled = "" if kind == NONE else f"{', '.join(lacking)} "
            sources += [f"{filled}computed from {ours.at[task, 'runs']} runs of {METHOD}"]
            kind = COMPUTED if kind == NONE else f"{kind}, {', '.join(lacking)} {COMPUTED}"
        rows.append({"task": task, **row, "kind": kind, "source": "; ".join(sources)})
    return pd.DataFrame(rows, columns=["task", *COLUMNS, "kind", "source"])


def _from_runs(results: Results, k: int) -> pd.DataFrame:
    """Per task: the three constants and the number of `runs` of METHOD that they come from."""
    final = final_runs(results, k)
    episodes = usable(results)
    single = episodes["run"].isin(final.index[final["per_episode"]])
    # means over episodes give a rate only with their lengths: how many episodes is not known
    known = single | episodes["length"].notna()
    training = episodes[(episodes["split"] == TRAIN) & known]
    final["cost_rate"] = cost_rate(training).reindex(final.index)
    ppo = final[(final["method"] == METHOD) & final[list(COLUMNS)].notna().any(axis=1)]
    grouped = ppo.groupby("task")
    return grouped[list(COLUMNS)].mean().assign(runs=grouped.size())
