"""Paired differences between methods, as a table."""

from __future__ import annotations

import pandas as pd

from analysis.results.labels import method_label
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.means import effects
from analysis.tables.formats import NONE, interval, markdown, number

HEAD = ("Question", "From", "To", "Seeds", "Return", "To is better", "Cost", "To is better")


def effects_markdown(scores: pd.DataFrame, wanted: pd.DataFrame) -> str:
    """Questions for which both methods were run or are wanted; "" if there are none.

    Args: scores, of `analysis.statistics.metrics.scores`; wanted, `wanted.csv` of a results folder.
    """
    known = set(scores["method"]) | set(wanted.get("method", ()))
    tables = [effects(scores, metric).to_dict("records") for metric in ("return", "cost")]
    rows = []
    for gain, cost in zip(*tables):
        if not {gain["a"], gain["b"]} <= known:
            continue
        if not gain["pairs"]:
            told = [NONE] * 4
        else:
            told = [
                part
                for r in (gain, cost)
                for part in (interval(r["difference"], r["low"], r["high"]), number(r["better"], 2))
            ]
        ends = (method_label(gain["a"]), method_label(gain["b"]))
        rows.append([gain["question"], *ends, gain["pairs"] or NONE, *told])
    if not rows:
        return ""
    note = (
        "Differences To - From over seeds that both have, with 95 % Student-t intervals of the "
        f"mean difference from {MIN_RUNS} seeds on; “better” is the probability that a run of To "
        "has the higher return, or the lower cost. – is not known yet.\n"
    )
    return markdown(HEAD, rows) + "\n" + note
