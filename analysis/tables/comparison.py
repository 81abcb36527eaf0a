"""Final performance of our methods by task, beside published numbers marked with their protocol.

Published rows were obtained under other limits, budgets and observations, partly on other versions
of a task: they are shown for orientation, not ranked with ours, and never bold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.results.labels import method_label, method_order
from analysis.statistics.aggregates import metric_named, omissions
from analysis.statistics.final import performance
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.published import published
from analysis.tables import cells, formats

PUBLISHED_METHODS = frozenset(
    {
        "ppo", "ppo_lag", "trpo", "trpo_lag", "cpo", "focops", "cppo_pid", "omnisafe_sac_lag",
        "lambda",
        "cem_mpc", "safe_loop", "cce_pets", "rce_pets", "cap_pets", "OSRP (vector)",
        "PIGDreamer (twisted imagination)",
    }
)  # fmt: skip
HEAD = (
    "Task", "Method", "Return", "Cost", "Feasible seeds", "Seeds", "Cost limit", "Simulator steps"
)  # fmt: skip
BESIDE = (
    "† published, not ours, under another protocol (below): not to be ranked with our rows. Its ± "
    "is one standard deviation."
)


def comparison(
    scores: pd.DataFrame, methods: frozenset[str] | None = PUBLISHED_METHODS
) -> pd.DataFrame:
    """The rows of `performance`, those of each task followed by its published rows.

    Adds the columns `published`, `source`, `protocol`.

    Args:
        scores: of `analysis.statistics.metrics.scores`.
        methods: published methods to show; None for all, an empty set for none.
    """
    ours = performance(scores).assign(published=False, source="ours", protocol="")
    theirs = published(methods).rename(
        columns={"return_std": "return_half", "cost_std": "cost_half"}
    )
    seen = [f"observation {obs}; " if obs else "" for obs in theirs["obs"]]
    theirs = theirs.assign(
        published=True,
        best=False,
        protocol=[a + str(b) for a, b in zip(seen, theirs["protocol"])],
        feasible=np.nan,
        runs=theirs["seeds"],
        env_steps_min=theirs["env_steps"],
        judged_on="",
    )
    blocks: list[pd.DataFrame] = []
    for (task, obs), here in ours.groupby(["task", "obs"], sort=False) if len(ours) else ():
        blocks += [here, theirs[theirs["task"] == task].assign(obs=obs)]
    return pd.concat([b for b in blocks if len(b)], ignore_index=True) if blocks else ours


def comparison_table(table: pd.DataFrame) -> cells.Table:
    """The comparison as text: each task named once, best rows bold, protocols as numbered notes."""
    shown = cells.performance(table, HEAD)
    protocols = list(dict.fromkeys(table.loc[table["published"], "protocol"]))
    rows, before = [], ""
    for place, row in enumerate(table.to_dict("records")):
        task, method, *values = shown.rows[place]
        if row["published"]:
            method += f" † {protocols.index(row['protocol']) + 1}"
        rows.append([task if task != before else "", method, *values])
        before = task
    notes = cells.performance_notes(table[~table["published"]], None, HEAD)
    notes += [BESIDE] if protocols else []
    numbered = [f"{number}. {protocol}" for number, protocol in enumerate(protocols, start=1)]
    return cells.Table(HEAD, rows, [*notes, *numbered], best=shown.best)


def aggregates_table(aggregates: Sequence[tuple[str, pd.DataFrame]]) -> cells.Table:
    """A method per row, from (metric, frame of `aggregate`) pairs.

    Shows the mean for shares, else the interquartile mean and, for a target other than zero, the
    optimality gap.
    """
    shown = [
        (metric, statistic, frame) for metric, frame in aggregates for statistic in _shown(metric)
    ]
    names = [f"{metric_named(metric).label}, {statistic}" for metric, statistic, _ in shown]
    runs = pd.concat([frame for _, frame in aggregates]).groupby("method")["runs"].max()
    rows = []
    for method in method_order(runs.index):
        line = [method_label(method)]
        for _, statistic, frame in shown:
            row = frame[(frame["method"] == method) & (frame["statistic"] == statistic)].iloc[0]
            line.append(formats.interval(row["value"], row["low"], row["high"]))
        rows.append([*line, str(runs[method])])
    notes = [
        "Over all runs and tasks, with 95 % stratified bootstrap intervals (Agarwal et al. 2021). "
        "IQM: interquartile mean.",
        *aggregate_notes(dict(aggregates)),
    ]
    return cells.Table(["Method", *names, "Runs"], rows, notes)


def aggregate_notes(tables: dict[str, pd.DataFrame]) -> list[str]:
    """Which intervals cannot be trusted and which tasks are left out, each note once.

    Args: tables, frames of `aggregate` by metric.
    """
    found: dict[str, list[str]] = {}
    for metric, frame in tables.items():
        label = metric_named(metric).label
        if few := sorted({method_label(m) for m in frame.loc[~frame["trusted"], "method"]}):
            text = f"no interval can be trusted with fewer than {MIN_RUNS} seeds per task"
            found.setdefault(f"{text} ({', '.join(few)})", []).append(label)
    few_seeds = [f"{', '.join(names)}: {text}." for text, names in found.items()]
    return few_seeds + omissions(tables)


def _shown(metric: str) -> tuple[str, ...]:
    about = metric_named(metric)
    if about.unit == "share":
        return ("Mean",)
    return ("IQM", "Optimality Gap") if about.target > 0 else ("IQM",)


def files(name: str, table: pd.DataFrame) -> dict[str, str]:
    """The comparison as CSV, Markdown and LaTeX, by file name."""
    shown = comparison_table(table)
    kinds = {"csv": formats.csv_text(table), "md": shown.markdown(), "tex": shown.latex()}
    return {f"{name}.{kind}": text for kind, text in kinds.items()}
