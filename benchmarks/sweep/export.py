"""The records of a sweep as one Parquet file.

The columns of benchmarks.runs.records, and what tells runs of a sweep apart.

The file's metadata lists every run under RUNS_KEY, also those without records, with cost limit,
step budget and provenance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.runs.files import RECORDS_FILE, RUNS_KEY
from benchmarks.runs.folder import read_spec
from benchmarks.runs.records import DTYPES, check_header
from benchmarks.runs.spec import BadInput
from benchmarks.sweep.members import Member

# columns; suites and tags are joined by commas
ADDED = ("run", "variant", "preset", "suites", "tags", "state")


def export(members: Sequence[Member], path: Path) -> tuple[int, list[Member]]:
    """Write the file; returns its number of rows and the runs that have no records yet.

    Raises BadInput when no run has any, or a file has other columns.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    types = {"str": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    options = csv.ConvertOptions(
        column_types={name: types[kind] for name, kind in DTYPES.items()},
        strings_can_be_null=False,
        null_values=[],
    )
    tables, empty = [], []
    for member in members:
        file = member.folder / RECORDS_FILE
        if not file.is_file() or file.stat().st_size == 0:
            empty.append(member)
            continue
        try:
            check_header(file)
            table = csv.read_csv(file, convert_options=options)
        except (ValueError, pa.ArrowInvalid) as error:
            raise BadInput(f"{file}: {error}") from error
        for name, value in zip(ADDED, _added(member), strict=True):
            table = table.append_column(
                name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows)
            )
        tables.append(table)
    if not tables:
        raise BadInput("none of these runs has records yet")
    whole = pa.concat_tables(tables)
    listed = json.dumps([_listed(member) for member in members]).encode()
    whole = whole.replace_schema_metadata({**(whole.schema.metadata or {}), RUNS_KEY: listed})
    temporary = path.with_name(f".{path.name}.tmp")
    parquet.write_table(whole, temporary)
    temporary.replace(path)
    return whole.num_rows, empty


def _added(member: Member) -> tuple[str, ...]:
    return (
        member.folder.name,
        member.variant,
        member.spec["preset"],
        ",".join(member.suites),
        ",".join(member.tags),
        member.standing,
    )


def _listed(member: Member) -> dict[str, Any]:
    """What the records do not tell of a run."""
    starts = read_spec(member.folder)["starts"]
    last = starts[-1] if starts else {}
    git, hardware = last.get("git", {}), last.get("hardware", {})
    columns = dict(zip(ADDED, _added(member), strict=True))
    return columns | {
        "run_id": member.run_id,
        **{key: member.spec[key] for key in ("method", "task", "obs", "seed")},
        "budget_env_steps": member.spec["steps"],
        "cost_limit": member.spec["agent"].get("cost_limit"),
        "folder": str(member.folder),
        "commit": git.get("commit") or "",
        "dirty": bool(git.get("dirty")),
        "devices": "; ".join(hardware.get("devices", ())),
        "started": last.get("time", ""),
    }
