"""Parquet files of `safedreamer export`: the records of a sweep, with a list of its runs in the
file's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.results.frames import FACTS, Part, Status, damage_frame
from benchmarks.runs.files import RUNS_KEY
from benchmarks.runs.reading import DamagedFile, decode, expect, parse_object
from benchmarks.runs.records import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

# recorded states that are kept; every other status follows from the records
STATES = {status.value: status for status in (Status.FAILED, Status.CANCELLED)}


def read(file: Path) -> Part:
    """All runs of the file. Raises ValueError for a file that is not an export."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(file, read_dictionary=["run", *COLUMNS])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        raise DamagedFile(file, None, f"it is not a Parquet file: {error}") from error
    missing = [name for name in ("run", *COLUMNS) if name not in table.column_names]
    if missing:
        raise ValueError(
            f"{file} is not a file of `safedreamer export`: it lacks the columns "
            f"{', '.join(missing)}"
        )
    facts = [{**_facts(run), "source": file.name} for run in _runs(file, table.schema.metadata)]
    return Part(frame_of(table.select(["run", *COLUMNS])), facts, damage_frame())


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The table as a frame; rows of a dictionary-encoded column share their strings."""
    frame = table.to_pandas()
    return frame.astype(dict.fromkeys(frame.select_dtypes("category"), object))


def _runs(file: Path, metadata: Mapping[bytes, bytes] | None) -> list[dict[str, Any]]:
    """The list of runs in a file's metadata. Raises DamagedFile."""
    if RUNS_KEY not in (metadata or {}):
        raise DamagedFile(file, None, "it lacks the list of runs of `safedreamer export`")
    runs = parse_object(f'{{"runs": {decode(metadata[RUNS_KEY], file)}}}', file)
    expect(runs, {"runs": list[dict]}, file)
    for run in runs["runs"]:
        expect(run, {"run": str}, file, "run.")
    return runs["runs"]


def _facts(run: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in run.items() if key in FACTS and value is not None}
    return known | {"state": STATES.get(run.get("state", ""), "")}
