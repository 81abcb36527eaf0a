"""How many seeds: interval width against their number, and how many distinguish b from a.

Spreads between seeds and the difference are taken as measured, seeds as independent and equally
many on every task:

    width(n) = 2 t[df, 0.975] sqrt(sum over tasks of s^2 / n) / M, power(n) = P(|T| > t[df, 0.975])
    for the measured difference

with T noncentral t. A plan from three seeds is itself uncertain: the spread of three values may be
off by a factor of two or more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.results.labels import plural
from analysis.statistics.intervals import LEVEL

POWER = 0.8
MAX_SEEDS = 200


class SeedPlan(NamedTuple):
    """How many seeds to run.

    `table` has one row per number of `seeds`, with `width_a`, `width_b`, `width_difference` of 95 %
    intervals, and `power`. `now` is the number of seeds that every task has, `needed` the smallest
    with the required power (None if above MAX_SEEDS), `more` how many are missing, `summary` the
    plan in words.
    """

    table: pd.DataFrame
    now: int
    needed: int | None
    more: int | None
    summary: str


def seeds_needed(
    scores: pd.DataFrame, metric: str, a: str, b: str, power: float = POWER
) -> SeedPlan:
    """The plan for two methods over the tasks on which both have at least two seeds.

    Raises ValueError when there is no such task: one seed has no spread.
    """
    if not 0.0 < power < 1.0:
        raise ValueError(f"power={power} must lie in 0..1")
    values = scores.dropna(subset=[metric])
    runs: dict[str, dict[tuple[str, str], np.ndarray]] = {a: {}, b: {}}
    for (method, *task), v in values.groupby(["method", "task", "obs"])[metric]:
        if method in runs and len(v) > 1:
            runs[method][tuple(task)] = v.to_numpy(float)
    tasks = [task for task in runs[a] if task in runs[b]]
    if not tasks:
        raise ValueError(
            f"{a} and {b} share no task with two seeds each: without a spread nothing can be "
            "planned"
        )
    spread = {name: np.array([runs[name][task].var(ddof=1) for task in tasks]) for name in (a, b)}
    difference = float(np.mean([runs[b][task].mean() - runs[a][task].mean() for task in tasks]))
    table = _table(spread[a], spread[b], difference)
    enough = table.loc[table["power"] >= power, "seeds"]
    now = min(len(runs[name][task]) for name in (a, b) for task in tasks)
    needed = int(enough.iloc[0]) if len(enough) else None
    more = None if needed is None else max(0, needed - now)
    apart = f"tell them apart with probability {power:.0%}"
    if needed is None:
        told = f"more than {MAX_SEEDS} seeds would be needed to {apart}"
    elif more == 0:
        told = f"{needed} seeds {apart}; no more are needed"
    else:
        told = f"{needed} seeds, {more} more, would {apart}"
    measured = f"{b} - {a} in {metric} is {difference:.3g} over {plural(len(tasks), 'task')}"
    return SeedPlan(table, now, needed, more, f"{measured} with {now} seeds: {told}")


def _table(spread_a: np.ndarray, spread_b: np.ndarray, difference: float) -> pd.DataFrame:
    """A row per number of seeds on each of M tasks; spreads [M] are variances between seeds."""
    from scipy import stats

    n = np.arange(2, MAX_SEEDS + 1)
    table = pd.DataFrame({"seeds": n})
    error = bound = freedom = n
    for name, parts in (("a", [spread_a]), ("b", [spread_b]), ("difference", [spread_a, spread_b])):
        spread = np.concatenate(parts)
        error = np.sqrt(spread.sum() / n) / len(spread_a)
        # Satterthwaite (1946)
        freedom = (n - 1) * (spread.sum() ** 2 / (spread**2).sum() if spread.any() else 1.0)
        bound = stats.t.ppf((1.0 + LEVEL) / 2.0, freedom)
        table[f"width_{name}"] = 2.0 * bound * error
    if not error.any():
        return table.assign(power=float(difference != 0.0))
    shift = abs(difference) / error
    reached = stats.nct.sf(bound, freedom, shift) + stats.nct.cdf(-bound, freedom, shift)
    # nct gives NaN only if the shift is far beyond the bound
    return table.assign(power=np.nan_to_num(reached, nan=1.0))
