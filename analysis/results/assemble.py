"""Join the parts that readers return, and judge how far each run got and which are duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.frames import (
    FACTS,
    IDENTITY,
    OUT_OF_TIME,
    Part,
    Results,
    Status,
    damage_frame,
    no_episodes,
)
from analysis.results.labels import label
from benchmarks.runs.records import EVAL, TRAIN

INTERNAL = ("problem", "settings_id", "rows", "gap")  # columns that only this module needs
LARGEST_VALUE = 1e12  # of a return or a cost; means and axes of larger ones overflow


def assemble(
    episodes: pd.DataFrame, facts: Iterable[Mapping[str, Any]], damage: pd.DataFrame | None = None
) -> Results:
    """Results from episodes (`run` and the columns of the records) and one mapping of FACTS per
    run.

    Of an episode recorded twice the later record counts; a run's identity comes from its facts.
    """
    runs = pd.DataFrame([{**FACTS, **fact} for fact in facts], columns=list(FACTS))
    runs["seed"] = runs["seed"].astype("Int64")
    runs = runs.astype({"budget_env_steps": float, "cost_limit": float})
    names = zip(runs["method"], runs["variant"], runs["cost_source"])
    runs["label"] = [label(*name) for name in names]
    notes: dict[str, list[str]] = {
        run: [text] if text else [] for run, text in zip(runs["run"], runs["notes"])
    }
    repeated = episodes.duplicated(["run", "split", "episode", "env_steps"], keep="last")
    _note(notes, episodes[repeated], "recorded twice, the later record kept")
    episodes = (episodes[~repeated] if repeated.any() else episodes).reset_index(drop=True)
    values = episodes[["return", "cost"]]
    _note(notes, episodes[values.isna().any(axis=1)], "with a return or cost that is not finite")
    large = (values.abs() > LARGEST_VALUE).any(axis=1)
    beyond = f"left out: a return or cost that is infinite or beyond {LARGEST_VALUE:g}"
    _note(notes, episodes[large], beyond)
    episodes.loc[large, ["return", "cost"]] = np.nan
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
    rest = [c for c in runs.columns if c not in (*order, *INTERNAL)]
    return Results(episodes, runs[order + rest], damage_frame() if damage is None else damage)


def merge(parts: Iterable[Part]) -> Results:
    """Join the parts of several readers; a run name that is taken gets a number.

    Raises ValueError if there are no runs.
    """
    taken: set[str] = set()
    episodes, facts, damage = [], [], []
    for part in parts:
        new = {fact["run"]: _free(fact["run"], taken) for fact in part.facts}
        renamed = any(old != name for old, name in new.items())
        for frames, frame in ((episodes, part.episodes), (damage, part.damage)):
            if len(frame):
                frames.append(frame.assign(run=frame["run"].map(new)) if renamed else frame)
        facts += [{**fact, "run": new[fact["run"]]} for fact in part.facts]
    if not facts:
        raise ValueError("nothing to merge")
    joined = pd.concat(episodes or [no_episodes()], ignore_index=True)
    return assemble(joined, facts, pd.concat(damage or [damage_frame()], ignore_index=True))


def _free(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken already."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    taken.add(free)
    return free


def _note(notes: dict[str, list[str]], episodes: pd.DataFrame, text: str) -> None:
    """Note for each run how many episodes there are of it."""
    for run, count in episodes["run"].value_counts(sort=False).items():
        notes[str(run)].append(f"{count} episodes {text}")


def _reached(episodes: pd.DataFrame) -> pd.DataFrame:
    """Per run: `rows`, `train_episodes`, `eval_episodes`, `env_steps`, `wall_seconds`, and `gap`,
    the most simulator steps between records.
    """
    grouped = episodes.groupby("run", sort=False)
    table = grouped[["env_steps", "wall_seconds"]].max().assign(rows=grouped.size())
    for split in (TRAIN, EVAL):
        table[f"{split}_episodes"] = (
            (episodes["split"] == split).groupby(episodes["run"], sort=False).sum()
        )
    keys = ["run", "env_steps"]
    steps = episodes[keys].drop_duplicates().sort_values(keys, kind="stable")
    first = steps["run"] != steps["run"].shift()
    gap = steps["env_steps"] - steps["env_steps"].shift().where(~first, 0)
    return table.assign(gap=gap.groupby(steps["run"]).max())


def _status(row: Mapping[str, Any]) -> Status:
    """Status of a run: complete if its records reach the budget, as the last evaluation does.

    A run without evaluations is complete if no further round of training episodes fits.
    """
    if row["problem"]:
        return Status(row["problem"])
    ended = next((s for s in (Status.FAILED, Status.CANCELLED) if s == row["state"]), None)
    if not row["rows"]:
        return ended or Status.NO_RECORDS
    budget = row["budget_env_steps"]
    if np.isnan(budget):
        return Status.NO_BUDGET
    round_steps = 0 if row["eval_episodes"] else row["gap"]
    if row["env_steps"] >= budget or row["env_steps"] + round_steps > budget:
        return Status.COMPLETE
    if row["state"] == OUT_OF_TIME:
        return Status.TIMED
    return ended or Status.SHORT


def _mark_duplicates(runs: pd.DataFrame, notes: dict[str, list[str]]) -> None:
    """Of runs with the same run id, use the one that got furthest and mark the others.

    Runs that share only label, task and seed get a note, and so do those of one label with other
    settings. Runs with different tags are no duplicates: tags may distinguish versions of the code,
    which a run id does not.
    """
    order = runs[runs["used"]].sort_values("env_steps", ascending=False, kind="stable")
    for _, same in order.groupby(["run_id", "tags"], sort=False):
        for index in same.index[1:]:
            runs.loc[index, ["status", "used"]] = [Status.DUPLICATE, False]
            notes[runs.loc[index, "run"]].append(f"same run id as {same['run'].iloc[0]}")
    for _, same in runs[runs["used"]].groupby(["label", "task", "obs", "seed"], sort=False):
        for index in same.index[1:]:
            notes[runs.loc[index, "run"]].append(
                f"same method, task and seed as {same['run'].iloc[0]}"
            )
    known = runs[runs["used"] & (runs["settings_id"] != "")]
    for _, same in known.groupby(["label", "task", "obs"], sort=False):
        for index in same.index[same["settings_id"] != same["settings_id"].iloc[0]]:
            notes[runs.loc[index, "run"]].append(
                f"other settings than {same['run'].iloc[0]}, and averaged with it: name them as "
                "variants of a suite"
            )
