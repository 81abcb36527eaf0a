"""Which episodes count, which cost limit judges a run, and which runs are missing."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from analysis.results.frames import Results, Status

# methods without a constraint: a cost limit in their specification is an unused default
UNCONSTRAINED = frozenset(
    "dreamerv3 cem sac dyna mbpo mve policy_gradient natural_pg ppo trpo ddpg td3 omnisafe_sac "
    "pets loop".split()
)


def usable(results: Results) -> pd.DataFrame:
    """The episodes of the runs that count: all but duplicates."""
    used = results.runs.loc[results.runs["used"], "run"]
    return results.episodes[results.episodes["run"].isin(used)]


def cost_limits(runs: pd.DataFrame, task: str, obs: str) -> tuple[float, ...]:
    """The distinct cost limits of one task, smallest first: of constrained methods, if any ran."""
    here = runs[(runs["task"] == task) & (runs["obs"] == obs) & runs["cost_limit"].notna()]
    constrained = here[~here["method"].isin(UNCONSTRAINED)]
    return tuple(sorted(set((here if constrained.empty else constrained)["cost_limit"])))


def judged_by(runs: pd.DataFrame) -> dict[str, float]:
    """The cost limit that judges each run.

    Its own, or for a run without a constraint the only one of its task; else NaN.
    """
    limits = {}
    for (task, obs), here in runs.groupby(["task", "obs"]):
        shared = cost_limits(here, task, obs)
        for run, method, own in zip(here["run"], here["method"], here["cost_limit"]):
            pursued = not np.isnan(own) and method not in UNCONSTRAINED
            limits[run] = own if pursued else shared[0] if len(shared) == 1 else np.nan
    return limits


def set_cost_limit(results: Results, cost_limit: float) -> Results:
    """The same results with this cost limit per episode instead of those of the runs."""
    return results._replace(runs=results.runs.assign(cost_limit=float(cost_limit)))


def join_observations(results: Results) -> Results:
    """The results with runs of a task under any observation as runs of the same task, whose `obs`
    names all of them: `coordinates, lidar`.
    """
    named = results.runs[results.runs["task"] != ""]
    joined = named.groupby("task")["obs"].agg(lambda some: ", ".join(sorted(set(some) - {""})))
    runs, episodes = (
        frame.assign(obs=frame["task"].map(joined).fillna(frame["obs"]))
        for frame in (results.runs, results.episodes)
    )
    return results._replace(runs=runs, episodes=episodes)


def gaps(results: Results) -> pd.DataFrame:
    """Runs that would complete the grid: `label`, `task`, `obs`, `seed`, `reason`.

    Empty when nothing is missing.

    Within a suite (and among runs without one) every label is expected on every task that any label
    was run on, with all seeds that the label has in the suite. A run without records is listed too,
    with its status; an unfinished run that has some is not.
    """
    runs = results.runs[(results.runs["task"] != "") & (results.runs["status"] != Status.DUPLICATE)]
    there = {(r.label, r.task, r.obs, r.seed): r for r in runs.itertuples()}
    missing: dict[tuple[str, str, str, int], str] = {}
    by_suite = runs.assign(suite=runs["suites"].str.split(",")).explode("suite")
    for _, suite in by_suite.groupby("suite", sort=True):
        tasks = sorted(set(zip(suite["task"], suite["obs"])))
        for name, mine in suite.groupby("label", sort=True):
            seeds = sorted(mine["seed"].dropna().unique())
            for (task, obs), seed in itertools.product(tasks, seeds):
                run = there.get((name, task, obs, seed))
                if run is None or not run.used:
                    missing[name, task, obs, seed] = "not run" if run is None else run.status
    rows = [(*key, reason) for key, reason in missing.items()]
    return pd.DataFrame(rows, columns=["label", "task", "obs", "seed", "reason"])
