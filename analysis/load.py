"""Run folders to one tidy DataFrame of episodes and one row per run, with everything that is wrong with them.

A run folder holds `spec.json` and `episodes.csv` (`benchmarks.records`). Nothing found is dropped without being named: a run
without records, without specification or with an unreadable file keeps its row in `Results.runs`, damaged lines are listed in
`Results.damage`. Functions that draw or average use `usable(results)`.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.parse import Damage, no_records, parse_records
from benchmarks.records import DTYPES, EVAL, FILE_NAME, TRAIN

SPEC_FILE = "spec.json"
REPORT_FILE = "report.json"  # marks a folder that `analysis.report` wrote: its episodes.csv is no run
RUN_MARKS = (SPEC_FILE, FILE_NAME, "metrics.jsonl", "checkpoints", "run.lock")
IDENTITY = ("run_id", "method", "task", "obs", "seed")

UNCONSTRAINED = frozenset({"dreamerv3", "cem", "ppo", "trpo"})  # a cost limit in their specification is an unused default

COMPLETE, SHORT, NO_BUDGET = "complete", "short of its step budget", "no step budget known"
NO_SPEC, BAD_SPEC = "no specification", "unreadable specification"
NO_RECORDS, BAD_RECORDS, EMPTY, DUPLICATE = "no records", "unreadable records", "empty folder", "duplicate"


class Results(NamedTuple):
    """All that was found.

    episodes: one row per episode, the columns of `benchmarks.records` after `run`, the name of its folder.
    runs: one row per run folder: `run`, IDENTITY, `status`, `used`, `train_episodes`, `eval_episodes`, `env_steps` (reached),
        `budget_env_steps`, `cost_limit`, `wall_seconds`, `damaged_lines`, `notes`.
    damage: one row per damaged line: `run`, `file`, `line`, `reason`.
    """

    episodes: pd.DataFrame
    runs: pd.DataFrame
    damage: pd.DataFrame


class _Run(NamedTuple):
    episodes: pd.DataFrame
    row: dict[str, Any]
    damage: list[Damage]


def load(paths: Iterable[Path | str]) -> Results:
    """Load every run folder at or below the given folders.

    Raises FileNotFoundError for a path that is not a folder.
    """
    runs = [_load_run(name, folder) for name, folder in _named_folders([Path(p) for p in paths])]
    if not runs:
        raise ValueError("no folder given")
    table = pd.DataFrame([run.row for run in runs])
    table["seed"] = table["seed"].astype("Int64")
    table = _mark_duplicates(table)
    episodes = pd.concat([run.episodes for run in runs], ignore_index=True).astype({"run": "str", **DTYPES})
    damage = [{"run": run.row["run"], **line._asdict()} for run in runs for line in run.damage]
    return Results(episodes, table, pd.DataFrame(damage, columns=["run", *Damage._fields]))


def usable(results: Results) -> pd.DataFrame:
    """The episodes of the runs that count: all but duplicates."""
    used = results.runs.loc[results.runs["used"], "run"]
    return results.episodes[results.episodes["run"].isin(used)]


def cost_limits(runs: pd.DataFrame, task: str, obs: str) -> tuple[float, ...]:
    """The different cost limits of one task, smallest first: those of its constrained methods, if any were run."""
    here = runs[(runs["task"] == task) & (runs["obs"] == obs) & runs["cost_limit"].notna()]
    constrained = here[~here["method"].isin(UNCONSTRAINED)]
    return tuple(sorted(set((here if constrained.empty else constrained)["cost_limit"])))


def judged_by(runs: pd.DataFrame) -> dict[str, float]:
    """The cost limit that judges each run: its own, or the only one of its task for a run that pursues none; else NaN."""
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


def _named_folders(roots: list[Path]) -> Iterator[tuple[str, Path]]:
    """(name, folder) of every run, named from its root's own name on, or in full where two would share a name."""
    found: dict[Path, str] = {}
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(_no_folder(root))
        for folder in _run_folders(root):
            name = Path(root.resolve().name, folder.relative_to(root)).as_posix()
            found.setdefault(folder.resolve(), name)
    names = list(found.values())
    for folder, name in found.items():
        yield (name if names.count(name) == 1 else str(folder)), folder


def _run_folders(root: Path) -> Iterator[Path]:
    """Run folders at or below `root` in sorted order, and folders that hold nothing at all."""
    for base, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        names = {*files, *subfolders}
        if names & set(RUN_MARKS) and REPORT_FILE not in names:
            subfolders.clear()
            yield Path(base)
        elif not names:
            yield Path(base)


def _no_folder(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file; give its folder {path.parent}"
    siblings = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=3)
    return f"no folder {path}" + (f"; did you mean {', '.join(near)}?" if near else "")


def _load_run(name: str, folder: Path) -> _Run:
    """One run; whatever is missing or damaged ends up in its status, notes and damage."""
    notes: list[str] = []
    spec, spec_status = _read_spec(folder / SPEC_FILE, notes)
    episodes, damage, records_status = _read_episodes(folder / FILE_NAME, notes)
    if not any(folder.iterdir()):
        records_status = EMPTY
    row: dict[str, Any] = {"run": name}
    for column in IDENTITY:
        row[column] = _identity(column, episodes, spec, notes)
    row["run_id"] = row["run_id"] or folder.name
    budget = _spec_number(spec, "steps", "env_steps", "total_env_steps")
    row |= {
        "status": records_status or spec_status or _progress(episodes, budget),
        "used": len(episodes) > 0,
        "train_episodes": int((episodes["split"] == TRAIN).sum()),
        "eval_episodes": int((episodes["split"] == EVAL).sum()),
        "env_steps": int(episodes["env_steps"].max()) if len(episodes) else 0,
        "budget_env_steps": budget,
        "cost_limit": _spec_number(spec, "cost_limit"),
        "wall_seconds": float(episodes["wall_seconds"].max()) if len(episodes) else np.nan,
        "damaged_lines": len(damage),
        "notes": "; ".join(notes),
    }
    episodes.insert(0, "run", name)
    return _Run(episodes, row, damage)


def _read_spec(file: Path, notes: list[str]) -> tuple[dict[str, Any], str]:
    """The specification and "" or the status that its absence gives the run."""
    if not file.is_file():
        return {}, NO_SPEC
    try:
        spec = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # covers undecodable text and malformed JSON
        notes.append(f"{file.name}: {error}")
        return {}, BAD_SPEC
    if not isinstance(spec, dict):
        notes.append(f"{file.name}: an object was expected, found {type(spec).__name__}")
        return {}, BAD_SPEC
    return spec, ""


def _read_episodes(file: Path, notes: list[str]) -> tuple[pd.DataFrame, list[Damage], str]:
    """Good rows, damaged lines and "" or the status that unusable records give the run."""
    if not file.is_file():
        return no_records(), [], NO_RECORDS
    try:
        episodes, damage = parse_records(file)
    except ValueError as error:
        notes.append(str(error))
        return no_records(), [], BAD_RECORDS
    repeated = episodes.duplicated(["split", "episode", "env_steps"], keep="last")
    if repeated.any():
        notes.append(f"{int(repeated.sum())} episodes recorded twice, the later record kept")
        episodes = episodes[~repeated].reset_index(drop=True)
    bad = int((~np.isfinite(episodes["return"].to_numpy() + episodes["cost"].to_numpy())).sum())
    if bad:
        notes.append(f"{bad} episodes with a return or cost that is not finite")
    return episodes, damage, "" if len(episodes) else NO_RECORDS


def _identity(column: str, episodes: pd.DataFrame, spec: dict[str, Any], notes: list[str]) -> Any:
    """A run's method, task, ...: what its records say, else its specification; disagreement is noted."""
    recorded = episodes[column].unique().tolist()
    specified = _spec_values(spec, column)
    if len(recorded) > 1:
        notes.append(f"records of several {column}: {', '.join(map(str, recorded))}")
    if recorded and specified and recorded[0] not in specified:
        notes.append(f"{column} is {recorded[0]} in the records, {specified[0]} in {SPEC_FILE}")
    default = None if column == "seed" else ""
    return next(iter(recorded or specified), default)


def _progress(episodes: pd.DataFrame, budget: float) -> str:
    """Complete when the records reach the budget, as the last evaluation does.

    A run without evaluations is complete when no further round of training episodes fits.
    """
    if np.isnan(budget):
        return NO_BUDGET
    steps = np.unique(np.concatenate([[0], episodes["env_steps"].to_numpy()]))
    round_steps = 0 if (episodes["split"] == EVAL).any() else np.diff(steps).max(initial=0)
    return COMPLETE if steps[-1] >= budget or steps[-1] + round_steps > budget else SHORT


def _spec_values(spec: dict[str, Any], key: str) -> list[Any]:
    """The values of `key` at the shallowest depth of the specification at which it occurs."""
    level: list[dict[str, Any]] = [spec]
    while level:
        values = [node[key] for node in level if key in node and not isinstance(node[key], dict | list)]
        if values:
            return values
        level = [child for node in level for child in node.values() if isinstance(child, dict)]
    return []


def _spec_number(spec: dict[str, Any], *keys: str) -> float:
    """The first of `keys` that the specification gives a number for, else NaN."""
    for key in keys:
        for value in _spec_values(spec, key):
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
    return np.nan


def _mark_duplicates(runs: pd.DataFrame) -> pd.DataFrame:
    """Of folders with one run id the one that got furthest is used; runs that only share method, task and seed are noted."""
    runs = runs.copy()
    order = runs[runs["used"]].sort_values("env_steps", ascending=False, kind="stable")
    for _, same in order.groupby("run_id", sort=False):
        for index in same.index[1:]:
            runs.loc[index, ["status", "used"]] = [DUPLICATE, False]
            _note(runs, index, f"same run id as {same['run'].iloc[0]}")
    for _, same in runs[runs["used"]].groupby(["method", "task", "obs", "seed"], sort=False):
        for index in same.index[1:]:
            _note(runs, index, f"same method, task and seed as {same['run'].iloc[0]}")
    return runs


def _note(runs: pd.DataFrame, index: Any, text: str) -> None:
    old = runs.loc[index, "notes"]
    runs.loc[index, "notes"] = f"{old}; {text}" if old else text
