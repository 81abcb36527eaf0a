"""Our methods task by task, the best feasible one in bold, beside published numbers that are marked
with their protocol.

Published rows were reached under other limits, budgets and observations, partly on other versions
of a task; they are there to be looked at, not to be ranked with ours, and none of them is ever
bold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.labels import method_label, method_order, task_label
from analysis.statistics.aggregates import metric_named
from analysis.statistics.intervals import MIN_RUNS, mean_half_width
from analysis.statistics.published import published
from analysis.tables import formats

PUBLISHED_METHODS = frozenset(
    {
        "ppo", "ppo_lag", "trpo", "trpo_lag", "cpo", "focops", "cppo_pid", "omnisafe_sac_lag",
        "lambda", "cem_mpc", "safe_loop", "cce_pets",
        "rce_pets", "cap_pets", "OSRP (vector)", "PIGDreamer (twisted imagination)",
    }
)  # fmt: skip
HEAD = (
    "Task",
    "Method",
    "Return",
    "Cost",
    "Feasible seeds",
    "Seeds",
    "Cost limit",
    "Simulator steps",
)
NOTES = (
    "Bold: the highest mean return among our methods whose mean cost is within the limit of "
    "their task.",
    "Return and cost: mean over seeds of the means of each run's last evaluation episodes; ± "
    "is half the 95 % Student-t interval.",
    "† published, not ours, under another protocol (below): not to be ranked with our rows. "
    "Its ± is one standard deviation.",
)
UNTRUSTED = f"Rows with fewer than {MIN_RUNS} seeds have no interval: none could be trusted."


def comparison(
    scores: pd.DataFrame, methods: frozenset[str] | None = PUBLISHED_METHODS
) -> pd.DataFrame:
    """One row per task, observation and method, then the published rows of the task: see HEAD.

    Columns: `task`, `obs`, `method`, `return`, `return_half`, `cost`, `cost_half`, `feasible`
    (share of seeds), `seeds` (with values), `runs` (found), `cost_limit`, `env_steps`, `best`,
    `published`, `source`, `protocol`.

    Args:
        scores: of `analysis.statistics.metrics.scores`.
        methods: published methods to show; None for all, an empty set for none.
    """
    theirs = published(methods)
    rows: list[dict[str, Any]] = []
    for (task, obs), here in scores.groupby(["task", "obs"], sort=True):
        order = method_order(here["method"])
        ours = [_ours(here[here["method"] == name]) for name in order]
        allowed = [
            row for row in ours if row["cost"] <= row["cost_limit"] and not np.isnan(row["return"])
        ]
        if allowed:
            max(allowed, key=lambda row: row["return"])["best"] = True
        rows += [{"task": task, "obs": obs, **row} for row in ours]
        rows += [
            {**_theirs(row), "obs": obs}
            for row in theirs[theirs["task"] == task].to_dict("records")
        ]
    return pd.DataFrame(rows)


def _ours(runs: pd.DataFrame) -> dict[str, Any]:
    limits = set(runs["cost_limit"].dropna())
    row: dict[str, Any] = {
        "method": runs["method"].iloc[0],
        "seeds": int(runs["return"].notna().sum()),
        "runs": len(runs),
    }
    for column in ("return", "cost"):
        values = runs[column].dropna().to_numpy(float)
        row |= {
            column: values.mean() if len(values) else np.nan,
            f"{column}_half": float(mean_half_width(values)),
        }
    row |= {
        "feasible": runs["feasible"].mean(),
        "cost_limit": limits.pop() if len(limits) == 1 else np.nan,
    }
    kinds = ", ".join(sorted({kind for kind in runs["judged_on"] if kind}))
    return row | {
        "env_steps": runs["env_steps"].max(),
        "best": False,
        "published": False,
        "source": "ours",
        "protocol": kinds,
    }


def _theirs(row: dict[str, Any]) -> dict[str, Any]:
    kept = {
        key: row[key]
        for key in (
            "method",
            "task",
            "return",
            "cost",
            "seeds",
            "cost_limit",
            "env_steps",
            "source",
        )
    }
    seen = f"observation {row['obs']}; " if row["obs"] else ""
    spread = {
        "return_half": row["return_std"],
        "cost_half": row["cost_std"],
        "feasible": np.nan,
        "runs": row["seeds"],
    }
    return (
        kept | spread | {"best": False, "published": True, "protocol": seen + str(row["protocol"])}
    )


def comparison_markdown(table: pd.DataFrame) -> str:
    """The table for people, its notes, and the protocols of published rows as numbered
    footnotes.
    """
    rows, protocols = _cells(table)
    text = formats.markdown(HEAD, rows) + "\n" + "\n".join(_notes(table)) + "\n"
    return (
        text
        + "".join(f"\n{number}. {protocol}" for number, protocol in enumerate(protocols, start=1))
        + "\n" * bool(protocols)
    )


def comparison_latex(table: pd.DataFrame) -> str:
    """The same for a paper; needs booktabs."""
    rows, protocols = _cells(table)
    notes = [
        *_notes(table),
        *(f"{number}. {protocol}" for number, protocol in enumerate(protocols, start=1)),
    ]
    return formats.latex(HEAD, rows, notes)


def _notes(table: pd.DataFrame) -> list[str]:
    ours = table[~table["published"]]
    notes = [*NOTES[:2], *(NOTES[2:] if table["published"].any() else [])]
    return notes + ([UNTRUSTED] if (ours["seeds"] < MIN_RUNS).any() else [])


def _cells(table: pd.DataFrame) -> tuple[list[list[str]], list[str]]:
    protocols = list(dict.fromkeys(table.loc[table["published"], "protocol"]))
    rows, before = [], ""
    for row in table.to_dict("records"):
        task = task_label(row["task"], row["obs"])
        name = method_label(row["method"])
        if row["published"]:
            name += f" † {protocols.index(row['protocol']) + 1}"
        cells = [
            name,
            formats.plus_minus(row["return"], row["return_half"]),
            formats.plus_minus(row["cost"], row["cost_half"]),
        ]
        cells.append(formats.number(100.0 * row["feasible"], 0, " %"))
        seeds = formats.number(row["seeds"], 0)
        cells.append(
            seeds
            if row["published"] or row["seeds"] == row["runs"]
            else f"{seeds} of {row['runs']:g}"
        )
        cells += [
            formats.number(row["cost_limit"], 6),
            formats.steps(row["env_steps"], row["env_steps"]),
        ]
        if row["best"]:
            cells[:3] = [formats.bold(cell) for cell in cells[:3]]
        rows.append([task if task != before else "", *cells])
        before = task
    return rows, protocols


def aggregates_rows(
    aggregates: Sequence[tuple[str, pd.DataFrame]],
) -> tuple[list[str], list[list[str]], list[str]]:
    """Head, rows and notes of a table with a method per row, from (metric, frame of `aggregate`).

    Shown are the mean of shares, else the interquartile mean and, measured from a target other than
    zero, the optimality gap.
    """
    shown = [
        (metric, statistic, frame) for metric, frame in aggregates for statistic in _shown(metric)
    ]
    head = [
        "Method",
        *(f"{metric_named(metric).label}, {statistic}" for metric, statistic, _ in shown),
        "Runs",
    ]
    first = aggregates[0][1]
    rows = []
    for method in method_order(first["method"]):
        cells = [method_label(method)]
        for _, statistic, frame in shown:
            row = frame[(frame["method"] == method) & (frame["statistic"] == statistic)].iloc[0]
            cells.append(formats.interval(row["value"], row["low"], row["high"]))
        rows.append([*cells, str(first.loc[first["method"] == method, "runs"].iloc[0])])
    notes = [
        "Over all runs and tasks, with 95 % stratified bootstrap intervals (Agarwal et al. "
        "2021). IQM: interquartile mean."
    ]
    said: dict[str, list[str]] = {}
    for metric, frame in aggregates:
        if untrusted := sorted({method_label(m) for m in frame.loc[~frame["trusted"], "method"]}):
            few = (
                f"no interval can be trusted with fewer than {MIN_RUNS} seeds per task "
                f"({', '.join(untrusted)})"
            )
            said.setdefault(few, []).append(metric_named(metric).label)
        if left_out := frame["left_out"].iloc[0]:
            said.setdefault(
                f"without {left_out}, which not all methods have values for", []
            ).append(metric_named(metric).label)
    return head, rows, notes + [f"{', '.join(names)}: {text}." for text, names in said.items()]


def _shown(metric: str) -> tuple[str, ...]:
    about = metric_named(metric)
    if about.unit == "share":
        return ("Mean",)
    return ("IQM", "Optimality Gap") if about.target > 0 else ("IQM",)
