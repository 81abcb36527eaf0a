"""rliable's aggregates over tasks, with its bootstrap seeded and costs negated.

rliable (Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice)
takes higher scores as better: costs are negated on the way in and out. Its stratified bootstrap
draws from NumPy's global generator and ignores the seed it is given, so that generator is seeded
before every call and restored afterwards; a method's interval does not depend on which other
methods are compared. Only tasks that all methods have values for count; the others are named.

Frames of scores are those of `analysis.statistics.metrics.scores`; a task is one with its
observation. R runs, M tasks.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import pandas as pd

from analysis.results.labels import split_label
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.metrics import METRICS, Metric

STATISTICS = ("IQM", "Median", "Mean", "Optimality Gap")
# method -> for each task the values [R] of its runs, higher is better
Tables: TypeAlias = dict[str, list[np.ndarray]]


def aggregate(scores: pd.DataFrame, metric: str, reps: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Interquartile mean, median, mean and optimality gap of each method over all runs and tasks
    (Agarwal et al. 2021, section 4).

    Columns: `method`, `statistic`, `value`, `low`, `high` (95 %, percentiles of the stratified
    bootstrap), `runs`, `trusted`, `tasks`, `left_out` (tasks that not all methods have values for).
    With fewer than three seeds on some task there is no interval: `low` and `high` are NaN and
    `trusted` is False. The optimality gap is the mean shortfall from `Metric.target` (for costs:
    the mean excess above it), lower is better, NaN for metrics without a target. Every task weighs
    the same, whatever its number of runs. Raises ValueError for an unknown metric.
    """
    about = metric_named(metric)
    sign = 1.0 if about.higher_is_better else -1.0
    tables, left_out = _tables(scores, about)
    rows = []
    for method, table in tables.items():
        runs, trusted = _runs(table)
        values = np.full((3, len(STATISTICS)), np.nan)
        if table:
            values = _estimate(_statistics(sign * about.target), [table], reps, seed)
        values[:, :3] *= sign  # but not the gap, where lower is better already
        if sign < 0:
            values[1:, :3] = values[2:0:-1, :3]
        values += 0.0  # turns -0 into 0
        for name, (value, low, high) in zip(STATISTICS, values.T):
            rows.append((method, name, value, low, high, runs, trusted, len(table), left_out))
    columns = "method statistic value low high runs trusted tasks left_out".split()
    return pd.DataFrame(rows, columns=columns)


def omissions(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """A note on the tasks that frames of `aggregate` (by metric) leave out; empty without any."""
    found: dict[str, list[str]] = {}  # tasks -> metrics that leave them out
    for metric, table in tables.items():
        if tasks := table["left_out"].iloc[0]:
            found.setdefault(tasks, []).append(metric_named(metric).label)
    parts = [
        tasks + (f" ({', '.join(labels)})" if len(labels) < len(tables) else "")
        for tasks, labels in sorted(found.items())
    ]
    if not parts:
        return []
    return [f"Left out, because not all methods have values there: {'; '.join(parts)}."]


def efficiency(points: pd.DataFrame, metric: str, steps: int = 20, reps: int = 500) -> pd.DataFrame:
    """Sample efficiency: interquartile mean over runs and tasks against simulator steps (Agarwal et
    al. 2021, section 4.3).

    Columns: `method`, `env_steps`, `value`, `low`, `high` (95 %, NaN with fewer than three seeds on
    some task), at `steps` evenly spaced steps from the latest first evaluation of a method's runs
    to the earliest last one. Only tasks that all methods have evaluations on count.

    Args: points, evaluations of runs (`analysis.statistics.series.metric_points`), with `metric`
    among their columns.
    """
    points = points.dropna(subset=[metric])
    methods = list(dict.fromkeys(points["method"]))
    groups = dict(list(points.groupby(["method", "task", "obs"])))
    shared = [
        task
        for task in sorted(set(zip(points["task"], points["obs"])))
        if all((method, *task) in groups for method in methods)
    ]
    frames = []
    for method in methods if shared else ():
        runs = [[r for _, r in groups[(method, *task)].groupby("run")] for task in shared]
        starts, ends = zip(
            *((r["env_steps"].min(), r["env_steps"].max()) for some in runs for r in some)
        )
        if max(starts) > min(ends):
            continue  # its runs have no steps in common
        grid = np.unique(np.linspace(max(starts), min(ends), steps))
        table = [
            np.stack([np.interp(grid, r["env_steps"], r[metric]) for r in some]) for some in runs
        ]
        bounds = dict(zip(("value", "low", "high"), _estimate(_iqm_by_step, [table], reps)))
        frames.append(pd.DataFrame({"method": method, "env_steps": grid, **bounds}))
    columns = ["method", "env_steps", "value", "low", "high"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def profiles(
    scores: pd.DataFrame, metric: str, taus: Sequence[float] | np.ndarray, reps: int = 2000
) -> pd.DataFrame:
    """Performance profiles: the share of runs better than each of `taus` (Agarwal et al. 2021,
    section 4.2).

    For a return the share of runs above tau; for a cost of those at or below it. Columns: `method`,
    `tau`, `share`, `low`, `high` (95 % pointwise, NaN with fewer than three seeds).
    """
    about = metric_named(metric)
    taus = np.asarray(taus, dtype=np.float64)

    def share(*columns: np.ndarray) -> np.ndarray:
        values = _matrix(columns)[..., None]
        return (values > taus if about.higher_is_better else -values <= taus).mean(axis=(0, 1))

    frames = []
    for method, table in _tables(scores, about)[0].items():
        values = _estimate(share, [table], reps) if table else np.full((3, len(taus)), np.nan)
        bounds = dict(zip(("share", "low", "high"), values))
        frames.append(pd.DataFrame({"method": method, "tau": taus, **bounds}))
    return pd.concat(frames, ignore_index=True)


def improvement(scores: pd.DataFrame, metric: str, reps: int = 2000) -> pd.DataFrame:
    """Probability that a run of `x` is better than one of `y`, averaged over tasks (Agarwal et al.
    2021, section 4.3).

    P(X > Y) + P(X = Y) / 2, the Mann-Whitney statistic. Columns: `x`, `y`, `probability`, `low`,
    `high` (95 %, NaN with fewer than three seeds), for every ordered pair of different methods.
    """
    tables, _ = _tables(scores, metric_named(metric))
    rows = []
    for x, y in itertools.combinations(tables, 2):
        a, b = tables[x], tables[y]
        value = low = high = np.nan
        if a:
            better = functools.partial(_better, parts=len(_compact(a)))
            value, low, high = _estimate(better, [a, b], reps).ravel()
        rows += [(x, y, value, low, high), (y, x, 1.0 - value, 1.0 - high, 1.0 - low)]
    return pd.DataFrame(rows, columns=["x", "y", "probability", "low", "high"])


def metric_named(name: str) -> Metric:
    """The metric of that name; ValueError that lists the known ones."""
    if name not in METRICS:
        raise ValueError(f"no metric {name!r}; there are {', '.join(METRICS)}")
    return METRICS[name]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which NumPy's global generator starts from `seed`; restored afterwards."""
    before = np.random.get_state()  # noqa: NPY002 - rliable draws from the global generator
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _tables(scores: pd.DataFrame, metric: Metric) -> tuple[Tables, str]:
    """Values per method and task, for tasks that all methods have values for, and the names of the
    other tasks.
    """
    values = scores.dropna(subset=[metric.name])
    methods = list(dict.fromkeys(scores["method"]))
    groups = {
        key: mine[metric.name].to_numpy(float)
        for key, mine in values.groupby(["method", "task", "obs"])
    }
    tasks = sorted(set(zip(scores["task"], scores["obs"])))
    shared = [task for task in tasks if all((method, *task) in groups for method in methods)]
    left_out = ", ".join("/".join(filter(None, task)) for task in tasks if task not in shared)
    sign = 1.0 if metric.higher_is_better else -1.0
    return {
        method: [sign * groups[(method, *task)] for task in shared] for method in methods
    }, left_out


def _runs(table: list[np.ndarray]) -> tuple[int, bool]:
    """Number of runs, and whether every task has enough of them for an interval."""
    counts = [len(values) for values in table]
    return sum(counts), bool(counts) and min(counts) >= MIN_RUNS


def iqm(values: np.ndarray) -> float:
    """Interquartile mean of all values: a quarter of them (rounded down) is trimmed at either end.

    The same values as rliable's, whose call of scipy.stats.trim_mean takes half of the time of a
    bootstrap.
    """
    cut = values.size // 4
    return float(np.sort(values, axis=None)[cut : values.size - cut].mean())


def _statistics(target: float) -> Callable[..., np.ndarray]:
    from rliable import metrics  # local: the import takes seconds

    def statistics(*columns: np.ndarray) -> np.ndarray:
        matrix = _matrix(columns)
        gap = (
            metrics.aggregate_optimality_gap(matrix, gamma=target)
            if np.isfinite(target)
            else np.nan
        )
        found = [iqm(matrix), metrics.aggregate_median(matrix), metrics.aggregate_mean(matrix), gap]
        return np.array(found, dtype=np.float64)

    return statistics


def _compact(table: list[np.ndarray]) -> list[np.ndarray]:
    """One matrix [R, M] if all tasks have equally many runs, which rliable resamples much faster.

    Otherwise a column [R, 1] per task. Values over steps [R, T] keep their last axis.
    """
    if len({len(values) for values in table}) == 1:
        return [np.stack(table, axis=1)]
    return [values[:, None] for values in table]


def _matrix(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Columns as one matrix [R, M]; runs are repeated up to a common multiple, so that every task
    weighs the same.
    """
    rows = int(np.lcm.reduce([len(values) for values in columns]))
    return np.hstack([np.concatenate([values] * (rows // len(values))) for values in columns])


def _iqm_by_step(*columns: np.ndarray) -> np.ndarray:
    """`iqm` over runs and tasks at each of T steps: columns [R, M, T] -> [T]."""
    matrix = _matrix(columns)
    values = np.sort(matrix.reshape(-1, matrix.shape[-1]), axis=0)
    cut = len(values) // 4
    return values[cut : len(values) - cut].mean(axis=0)


def _estimate(
    statistic: Callable[..., np.ndarray], tables: list[list[np.ndarray]], reps: int, seed: int = 0
) -> np.ndarray:
    """`statistic` of one table or two, and its bounds by rliable's bootstrap, which resamples the
    runs of each task, [3, ...]; bounds are NaN where a task has too few runs.
    """
    columns = [column for table in tables for column in _compact(table)]
    value = statistic(*columns)
    if not all(_runs(table)[1] for table in tables):
        return np.stack([value, *np.full((2, *value.shape), np.nan)])
    from rliable import library

    # rliable resamples each member of a list independently
    drawn = columns[0] if len(columns) == 1 else columns
    with seeded(seed):
        low, high = library.get_interval_estimates({"": drawn}, statistic, reps=reps)[1][""]
    return np.stack([value, low, high])


def _better(*columns: np.ndarray, parts: int) -> np.ndarray:
    """P(x > y) + P(x = y) / 2 over all pairs of runs, mean over tasks, [1].

    The first `parts` columns are those of x.
    """
    x, y = _matrix(columns[:parts])[:, None], _matrix(columns[parts:])[None]
    return ((x > y) + 0.5 * (x == y)).mean(keepdims=True).ravel()


def plain(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of plain methods; of all labels if there are only variants."""
    variants = scores["method"].map(lambda label: bool(split_label(label).variant)).astype(bool)
    return scores if variants.all() else scores[~variants]
