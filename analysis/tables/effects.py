"""Paired differences between methods, as a table."""

from __future__ import annotations

import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.means import QUESTIONS, effects
from analysis.tables.formats import NONE, interval, markdown, number

HEAD = (
    "Question", "Task", "From", "To", "Seeds", "Return", "To is better", "Cost", "To is better"
)  # fmt: skip


def effects_markdown(scores: pd.DataFrame, wanted: pd.DataFrame) -> str:
    """Questions for which both methods were run or are wanted, by task; "" if there are none.

    Args: scores, of `analysis.statistics.metrics.scores`; wanted, `wanted.csv` of a results folder.
    """
    known = set(scores["method"]) | set(wanted.get("method", ()))
    answers = [
        (task_label(task, obs), _answers(here))
        for (task, obs), here in scores.groupby(["task", "obs"], sort=True)
    ]
    rows = []
    for question, a, b in QUESTIONS:
        if not {a, b} <= known:
            continue
        told = [(task, found[question]) for task, found in answers if question in found]
        for task, answer in told or [(NONE, [NONE] * 5)]:
            rows.append([question, task, method_label(a), method_label(b), *answer])
    if not rows:
        return ""
    note = (
        "Differences To - From over seeds that both have, with 95 % Student-t intervals of the "
        f"mean difference from {MIN_RUNS} seeds on; “better” is the probability that a run of To "
        "has the higher return, or the lower cost. – is not known yet.\n"
    )
    return markdown(HEAD, rows, scores) + "\n" + note


def _answers(scores: pd.DataFrame) -> dict[str, list[object]]:
    """Cells of the table for each question that the runs of one task answer."""
    gains, costs = (effects(scores, metric).to_dict("records") for metric in ("return", "cost"))
    return {
        gain["question"]: [
            gain["pairs"],
            *(
                part
                for r in (gain, cost)
                for part in (interval(r["difference"], r["low"], r["high"]), number(r["better"], 2))
            ),
        ]
        for gain, cost in zip(gains, costs)
        if gain["pairs"]
    }
