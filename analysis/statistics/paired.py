"""Paired comparison of two methods, or of two tags of the same methods, by task and over all tasks,
corrected for multiple tests.

Per task: a paired t-test over seeds that both have, with Holm's correction over the tasks (Holm
1979; Demsar 2006 recommends it for comparisons of learners). Over all tasks: a permutation test on
the mean over tasks of the mean differences, in which the two sides of each pair are swapped at
random; it assumes neither normality nor many tasks.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics.intervals import LEVEL, MIN_RUNS, mean_half_width

ALL = "all"
ALPHA = 1.0 - LEVEL
PERMUTATIONS = 9_999


class NoPairs(ValueError):
    """Two methods or tags have no task and seed in common."""


def paired(scores: pd.DataFrame, metric: str, a: str, b: str, by: str = "method") -> pd.DataFrame:
    """One row for all tasks, then one per task.

    Columns: `method`, `task`, `obs`, `pairs`, `mean_a`, `mean_b`, `difference` (b - a), `low`,
    `high` (95 %, Student's t over pairs), `p`, `p_corrected`, `changed` (p_corrected < 0.05).

    Args:
        by: "method" compares two methods; "tag" compares runs with tag a and tag b of each method
            that has both.
    Pairs share method (for tags), task, observation and seed. Fewer than three pairs, of a task or
    of all, are not tested: NaN, and not `changed`. Raises NoPairs when there are no pairs,
    ValueError when there are several runs for one side of a pair.
    """
    pairs = _pairs(scores, metric, a, b, by)
    rows, groups = [], []
    for (method, task, obs), mine in pairs.groupby(["method", "task", "obs"], sort=True):
        rows.append({"method": method, "task": task, "obs": obs, **_task_row(mine)})
        groups.append((mine["b"] - mine["a"]).to_numpy(float))
    table = pd.DataFrame(rows)
    table["p_corrected"] = holm(table["p"].to_numpy())
    first = {"method": ALL if by == "tag" else f"{b} - {a}", "task": ALL, "obs": ""}
    first |= {"pairs": len(pairs), **table[["mean_a", "mean_b", "difference"]].mean()}
    first["low"], first["high"] = _overall_interval(groups)
    tested = len(pairs) >= MIN_RUNS
    first["p"] = first["p_corrected"] = permutation_p(groups) if tested else float("nan")
    if by == "method":
        table["method"] = first["method"]
    table = pd.concat([pd.DataFrame([first]), table], ignore_index=True)
    return table.assign(changed=table["p_corrected"] < ALPHA)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down corrected p-values [n].

    NaN, for a test that was not made, stays NaN and does not count.

    p'[i] = max over j <= i of min(1, (n - j) p[j]),    p sorted, j from 0
    """
    p = np.asarray(p, dtype=np.float64)
    corrected = np.full(len(p), np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    corrected[order] = np.minimum(
        1.0, np.maximum.accumulate((len(order) - np.arange(len(order))) * p[order])
    )
    return corrected


def permutation_p(groups: list[np.ndarray], seed: int = 0) -> float:
    """Two-sided p of the mean over groups of the mean difference, by flipping the signs of all
    differences at random.

    The observed signs count as one draw (Phipson and Smyth 2010), so p >= 1 / (PERMUTATIONS + 1).
    """
    rng = np.random.default_rng(seed)
    weights = np.concatenate([np.full(len(d), 1.0 / len(d) / len(groups)) for d in groups])
    terms = weights * np.concatenate(groups)
    flipped = rng.choice([-1.0, 1.0], size=(PERMUTATIONS, len(terms))) @ terms
    observed = abs(terms.sum())
    # a draw that equals the observed one must count despite rounding
    slack = 1e-9 * np.abs(terms).sum()
    return float((1 + (np.abs(flipped) >= observed - slack).sum()) / (PERMUTATIONS + 1))


def _pairs(scores: pd.DataFrame, metric: str, a: str, b: str, by: str) -> pd.DataFrame:
    if by not in ("method", "tag"):
        raise ValueError(f"by={by!r} must be 'method' or 'tag'")
    if metric not in scores:
        raise ValueError(f"no metric {metric!r} among the scores")
    keys = ["method", "task", "obs", "seed"] if by == "tag" else ["task", "obs", "seed"]
    sides = []
    for name, side in (("a", a), ("b", b)):
        if by == "tag":
            mine = scores[[side in tags.split(",") for tags in scores["tags"]]]
        else:
            mine = scores[scores["method"] == side]
        mine = mine.dropna(subset=[metric, "seed"])
        if mine.duplicated(keys).any():
            first = mine[mine.duplicated(keys)].iloc[0]
            remedy = "tell them apart by a tag" if by == "tag" else "give results with one of them"
            raise ValueError(
                f"several runs of {side} on {first['task']} with seed {first['seed']}: {remedy}"
            )
        sides.append(mine[[*keys, metric]].rename(columns={metric: name}))
    pairs = sides[0].merge(sides[1], on=keys)
    if pairs.empty:
        known = scores["method"] if by == "method" else scores["tags"].str.split(",").explode()
        raise NoPairs(
            f"{a} and {b} have no task and seed in common; there are "
            f"{', '.join(sorted(set(known) - {''}))}"
        )
    return pairs if by == "tag" else pairs.assign(method="")


def _task_row(pairs: pd.DataFrame) -> dict[str, float]:
    difference = (pairs["b"] - pairs["a"]).to_numpy(float)
    mean, half = difference.mean(), float(mean_half_width(difference))
    row = {"pairs": len(pairs), "mean_a": pairs["a"].mean(), "mean_b": pairs["b"].mean()}
    row |= {"difference": mean, "low": mean - half, "high": mean + half}
    return row | {"p": _t_test(difference)}


def _t_test(difference: np.ndarray) -> float:
    """Two-sided p of Student's t that the mean of the differences [n] is zero.

    1 where all are zero, NaN below MIN_RUNS.
    """
    from scipy.special import stdtr  # local, for a short start-up

    if len(difference) < MIN_RUNS:
        return float("nan")
    spread = difference.std(ddof=1)
    if spread == 0.0:
        return 1.0 if difference[0] == 0.0 else 0.0
    t = difference.mean() / (spread / np.sqrt(len(difference)))
    return float(2.0 * stdtr(len(difference) - 1, -abs(t)))


def _overall_interval(groups: list[np.ndarray]) -> tuple[float, float]:
    """95 % interval of the mean over tasks [M] of mean differences.

    Student's t, degrees of freedom by Satterthwaite (1946).
    """
    from scipy.special import stdtrit

    if min(map(len, groups)) < MIN_RUNS:
        return float("nan"), float("nan")
    mean = np.mean([d.mean() for d in groups])
    parts = np.array([d.var(ddof=1) / len(d) for d in groups]) / len(groups) ** 2
    if parts.sum() == 0.0:
        return float(mean), float(mean)
    freedom = parts.sum() ** 2 / (parts**2 / np.array([len(d) - 1 for d in groups])).sum()
    half = stdtrit(freedom, (1.0 + LEVEL) / 2.0) * np.sqrt(parts.sum())
    return float(mean - half), float(mean + half)
