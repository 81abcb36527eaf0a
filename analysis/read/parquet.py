"""Parquet files of `safedreamer export`.

The records of a sweep, with a list of its runs in the file's metadata.

Files from before that list existed hold only runs with records, and neither cost limits nor step
budgets; their runs name these in `lacks`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read.columns import columns_of
from analysis.results.frames import FACTS, Part, Status, damage_frame
from benchmarks.runs.files import RUNS_KEY
from benchmarks.runs.reading import DamagedFile, decode, expect, parse_object
from benchmarks.runs.records import COLUMNS

# recorded states that are kept; every other status follows from the records
STATES = {status.value: status for status in (Status.FAILED, Status.CANCELLED)}
ADDED = ("run", "variant", "preset", "suites", "tags", "state")


def read(file: str | os.PathLike[str]) -> Part:
    """All runs of the file. Raises ValueError for a file that is not an export."""
    file = Path(file)
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(file, read_dictionary=["run", *COLUMNS, *ADDED[1:]])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        raise DamagedFile(file, None, f"it is not a Parquet file: {error}") from error
    missing = [name for name in (*COLUMNS, *ADDED) if name not in table.column_names]
    if missing:
        raise ValueError(
            f"{file} is not a file of `safedreamer export`: it lacks the columns "
            f"{', '.join(missing)}"
        )
    listed = _listed(file, (table.schema.metadata or {}).get(RUNS_KEY))
    episodes = pd.DataFrame(columns_of(table.select(["run", *COLUMNS])))
    facts = _old_facts(table) if listed is None else [_facts(run) for run in listed]
    return Part(episodes, [{**fact, "source": file.name} for fact in facts], damage_frame())


def _listed(file: Path, data: bytes | None) -> list[dict[str, Any]] | None:
    """The list of runs in a file's metadata, or None. Raises DamagedFile."""
    if data is None:
        return None
    runs = parse_object(f'{{"runs": {decode(data, file)}}}', file)
    expect(runs, {"runs": list[dict]}, file)
    for run in runs["runs"]:
        expect(run, {"run": str}, file, "run.")
    return runs["runs"]


def _facts(run: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in run.items() if key in FACTS and value is not None}
    return known | {"state": STATES.get(run.get("state", ""), "")}


def _old_facts(table: Any) -> list[dict[str, Any]]:
    names = [*ADDED, "run_id", "method", "task", "obs", "seed"]
    rows = table.select(names).group_by(names).aggregate([]).to_pylist()
    lacks = "cost limit, cost source, step budget, runs without records"
    return [{**_facts(row), "lacks": lacks} for row in rows]
