"""What was found, as three frames, whatever it was read from: episodes, runs, damaged lines.

Every reader (`analysis.read.folders`, `analysis.read.parquet`, `analysis.read.foreign`) gives a
`Part`, episodes and what it knows of each run; `assemble` counts, judges how far each run got, and
marks duplicates. Nothing is dropped: a run without records keeps its row in `Results.runs`, with
the reason. Functions that draw or average use `usable(results)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.runs.records import DTYPES, EVAL, TRAIN

DAMAGE_COLUMNS = ("run", "file", "line", "reason")
IDENTITY = ("run_id", "method", "task", "obs", "seed")
# methods that pursue no limit: one in their specification is an unused default
UNCONSTRAINED = frozenset(
    {
        "dreamerv3",
        "cem",
        "policy_gradient",
        "natural_pg",
        "ppo",
        "trpo",
        "ddpg",
        "td3",
        "omnisafe_sac",
        "sac",
        "mbpo",
        "dyna",
        "mve",
        "pets",
        "loop",
    }
)

COMPLETE, SHORT, NO_BUDGET = "complete", "short of its step budget", "no step budget known"
TIMED = "complete (time)"  # its time budget ended it before its steps did
WHOLE = (COMPLETE, TIMED)
OUT_OF_TIME = "out_of_time"  # what such a run last said of itself
LARGEST_VALUE = 1e12  # of a return or a cost; means and axes of larger ones overflow
NO_SPEC, BAD_SPEC = "no specification", "unreadable specification"
NO_RECORDS, BAD_RECORDS, EMPTY, DUPLICATE = (
    "no records",
    "unreadable records",
    "empty folder",
    "duplicate",
)
FAILED, CANCELLED = "failed", "cancelled"

# What a reader may know of a run, and what stands for not knowing it.
FACTS: Mapping[str, Any] = {
    "run": "",
    "run_id": "",
    "method": "",
    "variant": "",
    "task": "",
    "obs": "",
    "seed": pd.NA,
    "preset": "",
    "suites": "",  # joined by commas, as are tags
    "tags": "",
    "problem": "",  # the status that missing or unreadable files give the run
    "state": "",  # what the run last said of itself
    "budget_env_steps": np.nan,
    "cost_limit": np.nan,
    "source": "run folder",
    "per_episode": True,  # False: its rows are means over several episodes
    "lacks": "",  # what its format does not tell
    "folder": "",
    "commit": "",
    "dirty": False,
    "devices": "",
    "started": "",
    "damaged_lines": 0,
    "notes": "",
}


class Results(NamedTuple):
    """All that was found.

    episodes: one row per episode: `run`, `variant`, `label`, then the columns of
        `benchmarks.runs.records`. `length`, `agent_steps` and `wall_seconds` are NaN where a
        foreign format does not tell them.
    runs: one row per run: the columns of FACTS but `problem`, `label` (the method, with its variant
        where there is one), `status`, `used`, `train_episodes`, `eval_episodes`, `env_steps`
        (reached), `wall_seconds`.
    damage: one row per damaged line: `run`, `file`, `line`, `reason`.
    """

    episodes: pd.DataFrame
    runs: pd.DataFrame
    damage: pd.DataFrame


class Part(NamedTuple):
    """What one reader found, before it is judged.

    Episodes, a mapping of FACTS for each run, damaged lines.
    """

    episodes: pd.DataFrame
    facts: list[dict[str, Any]]
    damage: pd.DataFrame


def label(method: str, variant: str) -> str:
    """What figures and tables call a method with a variant.

    Spelled as in the lists of `safedreamer status`.
    """
    return f"{method} [{variant}]" if variant else method


def assemble(
    episodes: pd.DataFrame, facts: Iterable[Mapping[str, Any]], damage: pd.DataFrame | None = None
) -> Results:
    """Results from episodes (`run` and the columns of the records) and one mapping of FACTS per
    run.

    Episodes recorded twice count once, the later record; a run's identity comes from its facts.
    """
    runs = pd.DataFrame([{**FACTS, **fact} for fact in facts], columns=list(FACTS))
    runs["seed"] = runs["seed"].astype("Int64")
    runs = runs.astype({"budget_env_steps": float, "cost_limit": float})
    runs["label"] = [label(m, v) for m, v in zip(runs["method"], runs["variant"])]
    notes: dict[str, list[str]] = {
        run: [text] if text else [] for run, text in zip(runs["run"], runs["notes"])
    }
    episodes = _once(episodes, notes)
    for run, bad in _undefined(episodes).items():
        notes[str(run)].append(f"{bad} episodes with a return or cost that is not finite")
    for run, bad in _too_large(episodes).items():
        notes[str(run)].append(
            f"{bad} episodes left out: a return or cost that is infinite or beyond "
            f"{LARGEST_VALUE:g}"
        )
    runs = runs.drop(columns="notes").join(_reached(episodes), on="run")
    for column in ("train_episodes", "eval_episodes", "rows", "env_steps"):
        runs[column] = runs[column].fillna(0).astype("int64")
    runs["used"] = runs["rows"] > 0
    runs["status"] = [_status(row) for row in runs.to_dict("records")]
    _mark_duplicates(runs, notes)
    runs["notes"] = ["; ".join(notes[run]) for run in runs["run"]]
    names = runs.set_index("run")
    where = names.index.get_indexer(episodes["run"])
    for at, column in enumerate(("variant", "label"), start=1):
        episodes.insert(at, column, names[column].to_numpy(dtype=object)[where])
    order = ["run", *IDENTITY, "variant", "label", "status", "used"]
    rest = [c for c in runs.columns if c not in (*order, "problem", "rows", "gap")]
    if damage is None:
        damage = pd.DataFrame(columns=list(DAMAGE_COLUMNS))
    return Results(episodes, runs[order + rest], damage)


def no_episodes() -> pd.DataFrame:
    """No rows, with `run` and the columns and dtypes of `benchmarks.runs.records`."""
    return pd.DataFrame(
        {column: pd.Series(dtype=dtype) for column, dtype in {"run": "str", **DTYPES}.items()}
    )


def merge(parts: Iterable[Part]) -> Results:
    """What several readers found, as one; a run's name that is taken gets a number.

    Raises ValueError for no parts.
    """
    taken: set[str] = set()
    episodes, facts, damage = [], [], [pd.DataFrame(columns=list(DAMAGE_COLUMNS))]
    for part in parts:
        new = {fact["run"]: _free(fact["run"], taken) for fact in part.facts}
        same = all(old == name for old, name in new.items())
        frames = (
            part[::2]
            if same
            else tuple(frame.assign(run=frame["run"].map(new)) for frame in part[::2])
        )
        episodes += [frames[0]] if len(frames[0]) else []
        damage += [frames[1]] if len(frames[1]) else []
        facts += [{**fact, "run": new[fact["run"]]} for fact in part.facts]
    if not facts:
        raise ValueError("nothing to merge")
    joined = pd.concat(episodes, ignore_index=True) if episodes else no_episodes()
    return assemble(
        joined, facts, pd.concat(damage, ignore_index=True) if len(damage) > 1 else damage[0]
    )


def usable(results: Results) -> pd.DataFrame:
    """The episodes of the runs that count: all but duplicates."""
    used = results.runs.loc[results.runs["used"], "run"]
    return results.episodes[results.episodes["run"].isin(used)]


def cost_limits(runs: pd.DataFrame, task: str, obs: str) -> tuple[float, ...]:
    """The different cost limits of one task, smallest first.

    Those of its constrained methods, if any were run.
    """
    here = runs[(runs["task"] == task) & (runs["obs"] == obs) & runs["cost_limit"].notna()]
    constrained = here[~here["method"].isin(UNCONSTRAINED)]
    return tuple(sorted(set((here if constrained.empty else constrained)["cost_limit"])))


def judged_by(runs: pd.DataFrame) -> dict[str, float]:
    """The cost limit that judges each run.

    Its own, or the only one of its task for a run that pursues none; else NaN.
    """
    limits = {}
    for (task, obs), here in runs.groupby(["task", "obs"]):
        shared = cost_limits(here, task, obs)
        for run, method, own in zip(here["run"], here["method"], here["cost_limit"]):
            pursued = not np.isnan(own) and method not in UNCONSTRAINED
            limits[run] = own if pursued else shared[0] if len(shared) == 1 else np.nan
    return limits


def set_cost_limit(results: Results, cost_limit: float) -> Results:
    """The same results judged by one cost limit per episode, whatever the runs were given."""
    if cost_limit < 0:
        raise ValueError(f"cost_limit={cost_limit} must be at least 0")
    return results._replace(runs=results.runs.assign(cost_limit=float(cost_limit)))


def gaps(results: Results) -> pd.DataFrame:
    """Runs that would complete the grid: `label`, `task`, `obs`, `seed`, `reason`.

    Empty when nothing is missing.

    Within a suite (and among runs of none) every label is expected on every task that any label was
    run on, with all seeds that the label has there. A run that exists but has no records is listed
    too, with its status; an unfinished one is not: it has something to show.
    """
    runs = results.runs[(results.runs["task"] != "") & (results.runs["status"] != DUPLICATE)]
    there = {(r.label, r.task, r.obs, r.seed): r for r in runs.itertuples()}
    missing: dict[tuple[str, str, str, int], str] = {}
    for _, suite in (
        runs.assign(suite=runs["suites"].str.split(","))
        .explode("suite")
        .groupby("suite", sort=True)
    ):
        tasks = sorted(set(zip(suite["task"], suite["obs"])))
        for name, mine in suite.groupby("label", sort=True):
            for task, obs in tasks:
                for seed in sorted(mine["seed"].dropna().unique()):
                    run = there.get((name, task, obs, seed))
                    if run is None or not run.used:
                        missing[name, task, obs, seed] = "not run" if run is None else run.status
    rows = [(*key, reason) for key, reason in missing.items()]
    return pd.DataFrame(rows, columns=["label", "task", "obs", "seed", "reason"])


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken already."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    taken.add(free)
    return free


def _once(episodes: pd.DataFrame, notes: dict[str, list[str]]) -> pd.DataFrame:
    repeated = episodes.duplicated(["run", "split", "episode", "env_steps"], keep="last")
    if not repeated.any():
        return episodes.reset_index(drop=True)
    for run, count in episodes.loc[repeated, "run"].value_counts(sort=False).items():
        notes[str(run)].append(f"{count} episodes recorded twice, the later record kept")
    return episodes[~repeated].reset_index(drop=True)


def _too_large(episodes: pd.DataFrame) -> pd.Series:
    """Make gaps of episodes that no figure or mean can hold, in place; how many, by run."""
    bad = (episodes[["return", "cost"]].abs() > LARGEST_VALUE).any(axis=1)
    counts = episodes.loc[bad, "run"].value_counts(sort=False)
    episodes.loc[bad, ["return", "cost"]] = np.nan
    return counts


def _undefined(episodes: pd.DataFrame) -> pd.Series:
    bad = episodes[["return", "cost"]].isna().any(axis=1)
    return episodes.loc[bad, "run"].value_counts(sort=False)


def _reached(episodes: pd.DataFrame) -> pd.DataFrame:
    """Per run: `rows`, `train_episodes`, `eval_episodes`, `env_steps`, `wall_seconds`, and `gap`,
    the longest between records.
    """
    names = {
        "rows": ("split", "size"),
        "env_steps": ("env_steps", "max"),
        "wall_seconds": ("wall_seconds", "max"),
    }
    table = episodes.groupby("run", sort=False).agg(**names)
    for split in (TRAIN, EVAL):
        table[f"{split}_episodes"] = (
            (episodes["split"] == split).groupby(episodes["run"], sort=False).sum()
        )
    steps = (
        episodes[["run", "env_steps"]]
        .drop_duplicates()
        .sort_values(["run", "env_steps"], kind="stable")
    )
    first = steps["run"] != steps["run"].shift()
    gap = steps["env_steps"] - steps["env_steps"].shift().where(~first, 0)
    return table.assign(gap=gap.groupby(steps["run"]).max())


def _status(row: Mapping[str, Any]) -> str:
    """Complete when the records reach the budget, as the last evaluation does.

    A run without evaluations is complete when no further round of training episodes fits.
    """
    if row["problem"]:
        return row["problem"]
    if not row["rows"]:
        return (
            FAILED
            if row["state"] == FAILED
            else CANCELLED
            if row["state"] == CANCELLED
            else NO_RECORDS
        )
    budget = row["budget_env_steps"]
    if np.isnan(budget):
        return NO_BUDGET
    round_steps = 0 if row["eval_episodes"] else row["gap"]
    if row["env_steps"] >= budget or row["env_steps"] + round_steps > budget:
        return COMPLETE
    if row["state"] == OUT_OF_TIME:
        return TIMED
    return row["state"] if row["state"] in (FAILED, CANCELLED) else SHORT


def _mark_duplicates(runs: pd.DataFrame, notes: dict[str, list[str]]) -> None:
    """Of runs with one run id the one that got furthest is used.

    Runs that only share label, task and seed are noted.

    The same run under different tags is none: a run id does not tell versions of the code apart,
    tags may.
    """
    order = runs[runs["used"]].sort_values("env_steps", ascending=False, kind="stable")
    for _, same in order.groupby(["run_id", "tags"], sort=False):
        for index in same.index[1:]:
            runs.loc[index, ["status", "used"]] = [DUPLICATE, False]
            notes[runs.loc[index, "run"]].append(f"same run id as {same['run'].iloc[0]}")
    for _, same in runs[runs["used"]].groupby(["label", "task", "obs", "seed"], sort=False):
        for index in same.index[1:]:
            notes[runs.loc[index, "run"]].append(
                f"same method, task and seed as {same['run'].iloc[0]}"
            )
