"""Run folders to one tidy DataFrame of episodes and one row per run, with everything that is wrong with them.

A run folder holds `spec.json` and `episodes.csv` (`benchmarks.records`), and where a sweep made it `sweep.json`. Nothing found is
dropped without being named: a run without records, without specification or with an unreadable file keeps its row in `Results.runs`,
damaged lines are listed in `Results.damage`.
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
from analysis.results import (
    BAD_RECORDS,
    BAD_SPEC,
    COMPLETE,
    EMPTY,
    IDENTITY,
    NO_RECORDS,
    NO_SPEC,
    UNCONSTRAINED,
    Results,
    assemble,
    cost_limits,
    judged_by,
    set_cost_limit,
    usable,
)
from benchmarks.records import DTYPES, FILE_NAME

__all__ = [
    "COMPLETE",
    "REPORT_FILE",
    "UNCONSTRAINED",
    "Results",
    "cost_limits",
    "judged_by",
    "load",
    "set_cost_limit",
    "usable",
]

SPEC_FILE = "spec.json"
SWEEP_FILE = "sweep.json"
REPORT_FILE = "report.json"  # marks a folder that `analysis.report` wrote: its episodes.csv is no run
RUN_MARKS = (SPEC_FILE, FILE_NAME, "metrics.jsonl", "checkpoints", "run.lock")


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
    episodes = pd.concat([run.episodes for run in runs], ignore_index=True).astype({"run": "str", **DTYPES})
    damage = [{"run": run.row["run"], **line._asdict()} for run in runs for line in run.damage]
    return assemble(episodes, [run.row for run in runs], pd.DataFrame(damage, columns=["run", *Damage._fields]))


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
    about = _read_sweep(folder / SWEEP_FILE, notes)
    row |= {
        "variant": str(about.get("variant", "")),
        "tags": ",".join(about.get("tags", ())),
        "suites": ",".join(about.get("suites", ())),
        "preset": next(iter(_spec_values(spec, "preset")), ""),
        "problem": records_status or spec_status,
        "budget_env_steps": _spec_number(spec, "steps", "env_steps", "total_env_steps"),
        "cost_limit": _spec_number(spec, "cost_limit"),
        "folder": str(folder),
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


def _read_sweep(file: Path, notes: list[str]) -> dict[str, Any]:
    """What the sweep knows of a run; nothing where no sweep made it."""
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        notes.append(f"{file.name}: {error}")
        return {}


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
