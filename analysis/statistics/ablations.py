"""Results of the ablation suites as frames: parts of a method and their interaction, planner
budgets, cost limits. Pure functions.

Runs are distinguished by their labels, `method [variant]`, whose variants are the names in the
suites `ablation-*`: words (`planner, PID, no filter`) or settings
(`planner.horizon=5 planner.iterations=2`).

Intervals are 95 % percentile bootstrap intervals that resample seeds within every task and cell;
NaN if any cell of a task has fewer than MIN_RUNS seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.results.labels import split_label, without_variant
from analysis.statistics.intervals import LEVEL, MIN_RUNS

TASK = ["task", "obs"]
REPS = 2000  # resamples
BUDGET = ("planner.candidates", "planner.iterations", "planner.horizon")


class Parts(NamedTuple):
    """The parts of a method."""

    acts: str  # "planner" or "actor", and how else it differs: "planner, no filter"
    multiplier: str  # "none", "augmented" or "PID"


# Parts of the plain methods. DreamerV3 ignores costs altogether, and OSRP-Lag and BSRP-Lag differ
# in their multiplier too.
PLAIN = {
    "dreamerv3": Parts("actor", "none"),
    "bsrp_lag": Parts("actor", "augmented"),
    "osrp": Parts("planner", "none"),
    "osrp_lag": Parts("planner", "PID"),
}
MULTIPLIERS = {"no multiplier": "none", "augmented": "augmented", "PID": "PID"}


def parts(label: str) -> Parts | None:
    """The parts of a plain method, or of a variant named like those of
    `ablation-planner-lagrangian`: `planner, PID, no filter`; None for any other label.
    """
    method, _, variant = split_label(label)
    if not variant:
        return PLAIN.get(method)
    acts, *rest = variant.split(", ")
    if acts not in ("planner", "actor") or not rest or rest[0] not in MULTIPLIERS:
        return None
    return Parts(", ".join([acts, *rest[1:]]), MULTIPLIERS[rest[0]])


def with_parts(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of runs whose parts are known, with the columns of Parts.

    Variants take precedence over the plain methods, unless only the plain methods have planner and
    actor, with and without multiplier. They are never compared with one another, since the plain
    methods of a preset may differ in more than a variant's name says. Runs with given costs never
    share a cell with runs that learn them: learned costs take precedence; methods without costs go
    with either.
    """
    known = {label: found for label in scores["method"].unique() if (found := parts(label))}
    varied = {n: found for n, found in known.items() if split_label(n).variant}
    plain = {n: found for n, found in known.items() if n not in varied}
    known = plain if not varied or (_square(plain) and not _square(varied)) else varied
    sources = sorted({split_label(label).given for label in known if not _costless(label)})
    keep = sources[0] if sources else ""  # "" is learned
    known = {n: found for n, found in known.items() if _costless(n) or split_label(n).given == keep}
    rows = scores[scores["method"].isin(known)]
    return rows.assign(
        **{name: [getattr(known[n], name) for n in rows["method"]] for name in Parts._fields}
    )


def _square(known: Mapping[str, Parts]) -> bool:
    """Whether these parts include planner and actor, with and without multiplier."""
    return {(part.acts, part.multiplier != "none") for part in known.values()} >= set(CELLS)


def on_shared_tasks(rows: pd.DataFrame, cell: Sequence[str]) -> pd.DataFrame:
    """The rows of tasks on which every cell, distinguished by these columns, has runs.

    If there is no such task, those of tasks with the most cells. Means over tasks are comparable
    only on the same ones.
    """
    cells = rows.groupby(list(cell)).ngroup()
    count = cells.groupby([rows[name] for name in TASK]).transform("nunique")
    return rows[count == count.max()]


def comparable(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`with_parts` of runs with a value of the metric, on the tasks that all combinations share."""
    return on_shared_tasks(with_parts(scores).dropna(subset=[metric]), Parts._fields)


def _costless(label: str) -> bool:
    """Whether the label's method ignores costs."""
    return split_label(label).method == "dreamerv3"


def given_costs(scores: pd.DataFrame) -> str:
    """Source of the given costs in the runs of `with_parts`, "" if costs are learned."""
    found = {split_label(label).given for label in with_parts(scores)["method"]} - {""}
    return next(iter(found), "")


def cells(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean over tasks (each the mean over its seeds) of every combination of parts.

    Columns: those of Parts, `value`, `low`, `high`, `runs`.
    """
    rng = np.random.default_rng(0)
    rows = []
    for key, cell in comparable(scores, metric).groupby(list(Parts._fields), sort=True):
        draws, value = _means(cell, metric, rng)
        rows.append((*key, value, *_interval(draws, [cell]), len(cell)))
    return pd.DataFrame(rows, columns=[*Parts._fields, "value", "low", "high", "runs"])


# Cells of a square, by (acts, has a multiplier), and the weight of each in an effect.
CELLS = (("planner", True), ("planner", False), ("actor", True), ("actor", False))
EFFECTS = {
    "planner": (0.5, 0.5, -0.5, -0.5),
    "multiplier": (0.5, -0.5, 0.5, -0.5),
    "interaction": (0.5, -0.5, -0.5, 0.5),
}


class Square(NamedTuple):
    """The four cells of planner x multiplier, and the kind of multiplier in them."""

    cells: dict[tuple[str, bool], pd.DataFrame]  # by (acts, has a multiplier)
    multiplier: str
    tasks: int


def square(scores: pd.DataFrame, metric: str) -> Square | None:
    """The 2 x 2 of acting and multiplier on the tasks that all four cells have; None if there is no
    such task.

    Both cells with a multiplier have the augmented one if the suite was run, else each method's
    own.
    """
    rows = with_parts(scores).dropna(subset=[metric])
    rows = rows.assign(has=rows["multiplier"] != "none")[rows["acts"].isin(("actor", "planner"))]
    same = rows[rows["multiplier"].isin(("none", "augmented"))]
    for kind, chosen in (("augmented", same), ("its own", rows)):
        shared = on_shared_tasks(chosen, ("acts", "has"))
        found = dict(list(shared.groupby(["acts", "has"])))
        if len(found) == len(CELLS):
            return Square(found, kind, len(shared[TASK].drop_duplicates()))
    return None


def effects(found: Square, metric: str) -> pd.DataFrame:
    """Main effects of planning and of the multiplier, and their interaction, in units of the
    metric: `effect`, `value`, `low`, `high`.

        planner = (P+ + P- - A+ - A-) / 2,  multiplier = (P+ - P- + A+ - A-) / 2,
        interaction = ((P+ - P-) - (A+ - A-)) / 2

    P and A: cell means of planner and actor, + and -: with and without multiplier. These are the
    contrasts of a 2 x 2 factorial design.
    """
    rng = np.random.default_rng(0)
    means = {key: _means(cell, metric, rng) for key, cell in found.cells.items()}
    rows = []
    for name, weights in EFFECTS.items():
        draws = sum(w * means[cell][0] for cell, w in zip(CELLS, weights))
        value = sum(w * means[cell][1] for cell, w in zip(CELLS, weights))
        rows.append((name, value, *_interval(np.asarray(draws), list(found.cells.values()))))
    return pd.DataFrame(rows, columns=["effect", "value", "low", "high"])


def _means(cell: pd.DataFrame, metric: str, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Mean over tasks of the mean over seeds: of resamples [REPS], and of the runs themselves."""
    per_task = [task.to_numpy() for _, task in cell.groupby(TASK)[metric]]
    draws = [
        values[rng.integers(len(values), size=(REPS, len(values)))].mean(axis=1)
        for values in per_task
    ]
    return np.mean(draws, axis=0), float(np.mean([values.mean() for values in per_task]))


def _interval(draws: np.ndarray, cells: Sequence[pd.DataFrame]) -> tuple[float, float]:
    if min(cell.groupby(TASK)["seed"].nunique().min() for cell in cells) < MIN_RUNS:
        return np.nan, np.nan
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


# -- settings --------------------------------------------------------------------------------------


def settings(label: str) -> dict[str, float]:
    """The numeric settings that a variant names.

    `osrp_lag [planner.horizon=5 x]` -> {"planner.horizon": 5.0}.
    """
    found = {}
    for word in split_label(label).variant.split():
        name, equals, value = word.partition("=")
        if equals:
            try:
                found[name] = float(value)
            except ValueError:
                continue  # not a number
    return found


def budgets(scores: pd.DataFrame) -> pd.DataFrame:
    """Runs of `ablation-planner-budget`, `method` without variant.

    Adds `candidates`, `iterations`, `horizon` and their product `model_steps` per action.
    """
    chosen = [label for label in scores["method"].unique() if set(BUDGET) <= set(settings(label))]
    rows = scores[scores["method"].isin(chosen)]
    found = [settings(label) for label in rows["method"]]
    columns = {name.removeprefix("planner."): [of[name] for of in found] for name in BUDGET}
    columns["model_steps"] = [math.prod(of[name] for name in BUDGET) for of in found]
    return rows.assign(method=rows["method"].map(without_variant), **columns)


def limits(scores: pd.DataFrame) -> pd.DataFrame:
    """Runs of `ablation-cost-limit`, `method` without variant, `cost_limit` from the variant."""
    named = {label: settings(label) for label in scores["method"].unique()}
    limit = {label: of["cost_limit"] for label, of in named.items() if set(of) == {"cost_limit"}}
    rows = scores[scores["method"].isin(limit)]
    value = rows["method"].map(limit).astype(float)
    return rows.assign(method=rows["method"].map(without_variant), cost_limit=value)
