"""The records of a sweep as one Parquet file.

It has the columns of benchmarks.runs.records, and those that distinguish runs of a sweep.

The file's metadata lists every run under RUNS_KEY, including those without records, with cost
limit, step budget and provenance.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import RECORDS_FILE, RUNS_KEY
from benchmarks.runs.identity import flatten, settings_id
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.spec_file import read_spec
from benchmarks.runs.tables import read_table
from benchmarks.runs.writing import replaced
from benchmarks.sweep.members import Member


class Exported(NamedTuple):
    """Result of an export."""

    rows: int
    empty: list[Member]  # no records yet, or none readable
    damage: list[str]  # files and lines that were left out, and why


def export(members: Sequence[Member], path: str | os.PathLike[str]) -> Exported:
    """Write the file, creating its folder if needed.

    Damaged lines, and files that are not records, are left out and reported. Raises BadInput if no
    run has any records.
    """
    path = Path(path)
    import pyarrow as pa
    from pyarrow import parquet

    tables, empty, damage = [], [], []
    for member in members:
        file = member.folder / RECORDS_FILE
        if not file.exists() or (file.is_file() and not file.stat().st_size):
            empty.append(member)
            continue
        try:
            table, wrong = read_table(file)
        except ValueError as error:
            damage.append(one_line(f"{member.folder.name}: {error}"))
            empty.append(member)
            continue
        damage += [f"{file}, line {line}: {why}" for line, why in wrong.items()]
        for name, value in _added(member).items():
            table = table.append_column(
                name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows)
            )
        tables.append(table)
    if not tables:
        raise BadInput(damage[0] if damage else "none of these runs has records yet")
    whole = pa.concat_tables(tables)
    # pandas would read dictionaries as categories
    plain = [
        field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in whole.schema
    ]
    whole = whole.cast(pa.schema(plain))
    listed = json.dumps([_listed(member) for member in members]).encode()
    whole = whole.replace_schema_metadata({**(whole.schema.metadata or {}), RUNS_KEY: listed})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as temporary:
        parquet.write_table(whole, temporary)
    return Exported(whole.num_rows, empty, damage)


def _added(member: Member) -> dict[str, str]:
    """Columns that the run's records lack."""
    return {
        "run": member.folder.name,
        "variant": member.variant,
        "preset": member.spec["preset"],
        "suites": ",".join(member.suites),
        "tags": ",".join(member.tags),
        "state": member.state,
    }


def _listed(member: Member) -> dict[str, Any]:
    """Facts about a run that its records do not contain."""
    last = (read_spec(member.folder)["starts"] or [{}])[-1]
    git, hardware = (
        last[part] if isinstance(last.get(part), dict) else {} for part in ("git", "hardware")
    )
    return _added(member) | {
        "run_id": member.run_id,
        **{key: member.spec[key] for key in ("method", "task", "obs", "seed")},
        "budget_env_steps": member.spec["steps"],
        "cost_limit": member.spec["agent"].get("cost_limit"),
        "cost_source": flatten(member.spec["agent"]).get("model.cost_source", ""),
        "settings_id": settings_id(member.spec),
        "folder": str(member.folder),
        "commit": git.get("commit") or "",
        "dirty": bool(git.get("dirty")),
        "devices": "; ".join(map(str, hardware.get("devices") or ())),
        "started": str(last.get("time", "")),
    }
