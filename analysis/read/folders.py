"""Run folders of this suite: `spec.json`, `sweep.json`, `status.json`, `attempts.jsonl`,
`episodes.csv` and, if the frozen policy was evaluated, `final.csv`.

Missing and damaged files are recorded in the run's facts (`analysis.results.frames.FACTS`) as
problem, notes and damaged lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.read.parquet import frame_of
from analysis.results.frames import IDENTITY, Damage, Part, Status, damage_frame
from benchmarks.runs.files import (
    ATTEMPTS_FILE,
    CHECKPOINTS,
    FINAL_FILE,
    LOCK_FILE,
    METRICS_FILE,
    RECORDS_FILE,
    SPEC_FILE,
    STATUS_FILE,
    SWEEP_FILE,
)
from benchmarks.runs.identity import settings_id
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import DamagedFile, is_a, read_lines, read_object
from benchmarks.runs.records import LARGEST_INT
from benchmarks.runs.tables import read_table, schema

if TYPE_CHECKING:
    import pyarrow as pa

RUN_MARKS = frozenset({SPEC_FILE, RECORDS_FILE, METRICS_FILE, CHECKPOINTS, LOCK_FILE})


def read(folders: Sequence[tuple[str, Path]]) -> Part:
    """The runs of these (name, folder) pairs."""
    records, facts, damage = zip(*(_read_run(name, folder) for name, folder in folders))
    names = [name for name, _ in folders]
    episodes = frame_of(_joined(schema().empty_table(), *records))  # rows share their strings
    episodes.insert(0, "run", np.repeat(np.array(names, dtype=object), list(map(len, records))))
    lost = [(name, line) for name, lines in zip(names, damage) for line in lines]
    return Part(episodes, list(facts), damage_frame(lost))


def _read_run(name: str, folder: Path) -> tuple[pa.Table, dict[str, Any], list[Damage]]:
    """Records, facts and damaged lines of a run."""
    notes: list[str] = []
    saved, spec_problem = {}, Status.NO_SPEC
    if (folder / SPEC_FILE).exists():
        saved = _read_object(folder / SPEC_FILE, notes)
        spec_problem = Status.BAD_SPEC if notes else ""
    records, damage, problem = _read_records(folder / RECORDS_FILE, notes)
    if (folder / FINAL_FILE).exists():
        final, more, _ = _read_records(folder / FINAL_FILE, notes)
        records, damage = _joined(records, final), [*damage, *more]
    if problem == Status.NO_RECORDS and not any(folder.iterdir()):
        problem = Status.EMPTY
    elif problem == Status.NO_RECORDS and not spec_problem:
        problem = ""  # `assemble` derives the reason from the run's state
    facts: dict[str, Any] = {"run": name, "folder": str(folder), "damaged_lines": len(damage)}
    for column in IDENTITY:
        facts[column] = _identity(column, records, saved, notes)
    facts["run_id"] = facts["run_id"] or folder.name
    about = _read_object(folder / SWEEP_FILE, notes)
    status = _read_object(folder / STATUS_FILE, notes)
    state = str(status.get("state", ""))
    if _cancelled(folder / ATTEMPTS_FILE, notes):
        state = Status.CANCELLED
    if error := status.get("last_error"):
        notes.append(f"last error: {one_line(str(error))}")
    facts |= {
        "variant": one_line(str(about.get("variant", ""))),
        "tags": _texts(about, "tags", notes),
        "suites": _texts(about, "suites", notes),
        **{key: _spec_text(saved, key) for key in ("preset", "cost_source")},
        "problem": problem or spec_problem,
        "state": state,
        "budget_env_steps": _spec_number(saved, "steps"),
        "cost_limit": _spec_number(saved, "cost_limit"),
        "settings_id": settings_id(saved["spec"]) if _object(saved.get("spec")) else "",
        **_provenance(saved),
        "notes": "; ".join(notes),
    }
    return records, facts, damage


def _joined(*tables: pa.Table) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(tables).unify_dictionaries()


def _read_object(file: Path, notes: list[str]) -> dict[str, Any]:
    """The JSON object of a file; empty if the file is missing, or, with a note, damaged."""
    try:
        return read_object(file)
    except FileNotFoundError:
        return {}
    except DamagedFile as error:
        notes.append(_note(file, error))
        return {}


def _note(file: Path, error: DamagedFile) -> str:
    return f"{file.name}: {'' if error.line is None else f'line {error.line}: '}{error.why}"


def _texts(about: dict[str, Any], key: str, notes: list[str]) -> str:
    """A list of names joined by commas; "" with a note if it is not a list of names."""
    found = about.get(key, [])
    if not is_a(found, list[str]):
        notes.append(f"{SWEEP_FILE}: {key} is not a list of names")
        return ""
    return ",".join(found)


def _read_records(file: Path, notes: list[str]) -> tuple[pa.Table, list[Damage], str]:
    """Valid rows, damaged lines, and "" or the run's status if there are no usable records."""
    try:
        records, wrong = read_table(file)
    except FileNotFoundError:
        return schema().empty_table(), [], Status.NO_RECORDS
    except ValueError as error:
        notes.append(_note(file, error) if isinstance(error, DamagedFile) else str(error))
        return schema().empty_table(), [], Status.BAD_RECORDS
    damage = [Damage(file.name, line, why) for line, why in wrong.items()]
    return records, damage, "" if len(records) else Status.NO_RECORDS


def _cancelled(file: Path, notes: list[str]) -> bool:
    """Whether the run was cancelled after it was last submitted."""
    try:
        events = [line.data.get("event") for line in read_lines(file)]
    except FileNotFoundError:
        return False
    except DamagedFile as error:
        notes.append(_note(file, error))
        return False
    ends = [event for event in events if event in ("submitted", "cancelled")]
    return ends[-1:] == ["cancelled"]


def _identity(column: str, records: pa.Table, spec: dict[str, Any], notes: list[str]) -> Any:
    """A run's method, task, ...: from its records, else from its specification.

    Adds a note where they disagree.
    """
    kind = int if column == "seed" else str
    recorded = records[column].unique().to_pylist()
    found = _spec_values(spec, column)
    specified = [
        value for value in found if is_a(value, kind) and (kind is str or 0 <= value <= LARGEST_INT)
    ]
    if len(specified) < len(found):
        notes.append(f"{SPEC_FILE}: {column} is {one_line(repr(found[0]), 60)}")
    if len(recorded) > 1:
        notes.append(f"records of several {column}: {', '.join(map(str, recorded))}")
    if recorded and specified and recorded[0] not in specified:
        notes.append(f"{column} is {recorded[0]} in the records, {specified[0]} in {SPEC_FILE}")
    default = pd.NA if column == "seed" else ""
    return next(iter(recorded or specified), default)


def _provenance(spec: dict[str, Any]) -> dict[str, Any]:
    """Commit, devices and time of the last start."""
    starts = spec.get("starts")
    last = _object(starts[-1]) if isinstance(starts, list) and starts else {}
    git, devices = _object(last.get("git")), _object(last.get("hardware")).get("devices")
    return {
        "commit": str(git.get("commit") or ""),
        "dirty": bool(git.get("dirty")),
        "devices": "; ".join(map(str, devices)) if isinstance(devices, list) else "",
        "started": str(last.get("time", "")),
    }


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _spec_values(spec: dict[str, Any], key: str) -> list[Any]:
    """The values of `key` at the shallowest level of the specification that has it."""
    level: list[dict[str, Any]] = [spec]
    while level:
        values = [
            node[key] for node in level if key in node and not isinstance(node[key], dict | list)
        ]
        if values:
            return values
        level = [child for node in level for child in node.values() if isinstance(child, dict)]
    return []


def _spec_text(spec: dict[str, Any], key: str) -> str:
    return one_line(str(next(iter(_spec_values(spec, key)), "")), 100)


def _spec_number(spec: dict[str, Any], key: str) -> float:
    """The first number that the specification has for the key, else NaN."""
    for value in _spec_values(spec, key):
        if is_a(value, float) and 0 <= value <= LARGEST_INT:
            return float(value)
    return np.nan
