"""Claims of the paper (SafeDreamer, arXiv:2307.07176, abstract and section 6), judged by results.

A claim is judged on each task with results of all its methods. It is reproduced if it holds on all
of these tasks, on at least one of them with three seeds or more of each method, and with a clear
difference in return or cost on all such; not reproduced if it holds on none, with at least three
seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

from analysis.results.labels import method_label, plural, task_label
from analysis.statistics.intervals import MIN_RUNS
from analysis.tables.formats import plus_minus

NEAR_ZERO = 5.0  # episode cost at which the whole interval counts as nearly zero

Row: TypeAlias = Mapping[str, Any]  # of `performance`: a method on one task


class Verdict(StrEnum):
    """Verdict on a claim."""

    REPRODUCED = "reproduced"
    PARTLY = "partly"
    NOT = "not reproduced"
    UNDECIDED = "undecided"
    UNTESTED = "not tested"


class Claim(NamedTuple):
    """A claim of the paper and the condition under which it holds on one task, given the rows of
    its methods.
    """

    text: str
    methods: tuple[str, ...]  # all of them need results
    holds: Callable[..., bool]
    obs: tuple[str, ...] = ()  # observations it applies to; empty: any
    # whether it holds by more than the spread between seeds
    clear: Callable[..., bool] = lambda *rows: True


def nearly_zero(row: Row) -> bool:
    """Whether the mean cost, including its interval if there is one, is nearly zero."""
    half = 0.0 if pd.isna(row["cost_half"]) else row["cost_half"]
    return bool(row["cost"] + half <= NEAR_ZERO)


def breaks_limit(row: Row) -> bool:
    """Whether the whole interval of the cost lies above the limit."""
    half = 0.0 if pd.isna(row["cost_half"]) else row["cost_half"]
    return bool(row["cost"] - half > row["cost_limit"])


def more_at_no_cost(better: Row, other: Row) -> bool:
    """`better` has nearly zero cost, and `other` has less return or not nearly zero cost."""
    more = better["return"] > other["return"]
    return nearly_zero(better) and bool(more or not nearly_zero(other))


def clearly_more_at_no_cost(better: Row, other: Row) -> bool:
    """The return of `better` exceeds that of `other` by more than their intervals explain, or the
    cost of `other`, not nearly zero, that of `better`.
    """
    return _exceeds(better, other, "return") or (
        not nearly_zero(other) and _exceeds(other, better, "cost")
    )


def _exceeds(more: Row, less: Row, what: str) -> bool:
    """Whether `what` differs by more than the root sum of squares of the intervals' half widths."""
    half = math.hypot(more[f"{what}_half"], less[f"{what}_half"])
    return bool(more[what] - less[what] > half)


CLAIMS: tuple[Claim, ...] = (
    Claim("OSRP reaches nearly zero cost", ("osrp",), nearly_zero),
    Claim("OSRP-Lag reaches nearly zero cost", ("osrp_lag",), nearly_zero),
    Claim("BSRP-Lag reaches nearly zero cost", ("bsrp_lag",), nearly_zero),
    Claim("DreamerV3 without a constraint breaks the limit", ("dreamerv3",), breaks_limit),
    Claim("CEM without a constraint breaks the limit", ("cem",), breaks_limit),
    Claim(
        "a Lagrangian improves on planning alone: OSRP-Lag on OSRP",
        ("osrp_lag", "osrp"),
        more_at_no_cost,
        clear=clearly_more_at_no_cost,
    ),
    *(
        Claim(
            f"SafeDreamer earns more at nearly zero cost than {method_label(other)}",
            ("bsrp_lag", other),
            more_at_no_cost,
            clear=clearly_more_at_no_cost,
        )
        for other in ("ppo_lag", "trpo_lag", "cpo", "lambda", "safe_slac")
    ),
    Claim(
        "the same from images: OSRP-Lag reaches nearly zero cost",
        ("osrp_lag",),
        nearly_zero,
        ("vision",),
    ),
)


class Judged(NamedTuple):
    """A claim, the verdict, and the numbers it is based on."""

    text: str
    verdict: Verdict
    evidence: str


def judge(performance: pd.DataFrame) -> list[Judged]:
    """Judge every claim by a frame of `analysis.statistics.final.performance`."""
    return [_judge(claim, performance) for claim in CLAIMS]


def _judge(claim: Claim, table: pd.DataFrame) -> Judged:
    holds, enough, clear, evidence = [], [], [], []
    known = table[table["method"].isin(claim.methods) & table["cost"].notna()]
    if claim.obs:
        known = known[known["obs"].isin(claim.obs)]
    for (task, obs), here in known.groupby(["task", "obs"]):
        found = {row["method"]: row for row in here.to_dict("records")}
        if len(found) < len(claim.methods):
            continue
        rows = [found[method] for method in claim.methods]
        holds.append(claim.holds(*rows))
        enough.append(all(row["seeds"] >= MIN_RUNS for row in rows))
        clear.append(not enough[-1] or claim.clear(*rows))
        evidence.append(f"{task_label(task, obs)}: {_figures(rows)}")
    if not holds:
        return Judged(claim.text, Verdict.UNTESTED, "")
    if not any(holds):
        verdict = Verdict.NOT if all(enough) else Verdict.UNDECIDED
    else:
        proven = all(holds) and any(enough) and all(clear)
        verdict = Verdict.REPRODUCED if proven else Verdict.PARTLY
    return Judged(claim.text, verdict, "; ".join(evidence))


def _figures(rows: Sequence[Row]) -> str:
    """Return at cost of each method in the claim, with the number of seeds."""
    parts = []
    for row in rows:
        gain = plus_minus(row["return"], row["return_half"], 1)
        cost = plus_minus(row["cost"], row["cost_half"], 1)
        name = f"{method_label(row['method'])} " if len(rows) > 1 else ""
        parts.append(f"{name}{gain} at {cost}, {plural(row['seeds'], 'seed')}")
    return " against ".join(parts)
