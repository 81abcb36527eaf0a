"""Any CSV file, with a map of its columns.

`table.read("theirs.csv", {"return": "ep_ret", ...}, {"method": "theirs"})`, or the same in a file
`table.json` beside it: `{"file": "theirs.csv", "columns": {...}, "values": {...}}`.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.read.foreign.common import part, steps_of, text_of
from analysis.results.frames import FACTS, Damage, Part
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import DamagedFile, expect, is_a, read_object
from benchmarks.runs.records import LARGEST_INT, SPLITS, TRAIN

FILE_NAME = "table.json"
NEEDED = ("return", "cost", "env_steps")
NUMBERS = ("return", "cost", "env_steps", "agent_steps", "length", "wall_seconds", "seed")
GROUP = ("method", "task", "obs", "seed")


def read(
    file: str | os.PathLike[str],
    columns: Mapping[str, str],
    values: Mapping[str, Any] | None = None,
    within: str = "",
) -> Part:
    """The runs of a file: rows that share method, task, obs and seed are one.

    Args:
        columns: our column -> the file's; `return`, `cost` and `env_steps` are needed, `cost_limit`
            may be among them.
        values: constants for the whole file: `method`, `task`, ..., `split` ("train" if not
            given), `cost_limit`, `budget_env_steps`, `per_episode` (False where rows are means over
            episodes).
        within: prefix of the runs' names.
    Invalid lines are listed in the damage. Raises ValueError for a column that the file lacks or
    that is not one of ours.
    """
    file = Path(file)
    plain = {"split": TRAIN, "obs": "", "seed": np.nan, "method": file.stem, "task": ""}
    values = {**plain, **(values or {})}
    known = {*NUMBERS, *GROUP, "split", "cost_limit", *FACTS}
    if unknown := sorted({*columns, *values} - known):
        raise ValueError(f"no columns {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if not _is_seed(values["seed"]):
        raise ValueError(f"seed is {one_line(repr(values['seed']), 60)}, not an integer")
    if missing := [name for name in NEEDED if name not in columns]:
        raise ValueError(f"the map of columns lacks {', '.join(missing)}")
    try:
        head, *rows = list(csv.reader(io.StringIO(text_of(file), newline=""))) or [[]]
    except csv.Error as error:
        raise DamagedFile(file, None, str(error)) from error
    if absent := sorted(set(columns.values()) - set(head)):
        raise ValueError(f"{file} has no columns {', '.join(absent)}; it has {', '.join(head)}")
    good, damage = [], []
    for number, cells in enumerate(rows, start=2):
        try:
            good.append(_row(head, cells, columns, values))
        except (ValueError, OverflowError) as error:
            damage.append(Damage(file.name, number, str(error)))
    return _parts(file, pd.DataFrame(good), damage, values, within)


def read_folder(folder: Path, name: str) -> Part:
    """The runs of the CSV file that the folder's `table.json` names, each under the folder's name.

    Raises ValueError as `read` does, DamagedFile for an invalid `table.json`.
    """
    about = read_object(folder / FILE_NAME)
    expect(about, {"file": str, "columns": dict, "values": dict}, folder / FILE_NAME)
    return read(folder / about["file"], about["columns"], about["values"], f"{name}/")


def _row(
    head: list[str], cells: list[str], columns: Mapping[str, str], values: Mapping[str, Any]
) -> dict[str, Any]:
    """One row in our columns. Raises ValueError for an invalid one."""
    if len(cells) != len(head):
        raise ValueError(f"{len(cells)} of {len(head)} fields")
    row: dict[str, Any] = dict(values)
    for ours, theirs in columns.items():
        text = cells[head.index(theirs)]
        row[ours] = float(text) if ours in NUMBERS or ours == "cost_limit" else text
    row["env_steps"] = steps_of(row["env_steps"])
    if not _is_seed(row["seed"]):
        raise ValueError(f"seed is {row['seed']:g}")
    if row["split"] not in SPLITS:
        raise ValueError(f"split is {row['split']!r}")
    return row


def _is_seed(value: Any) -> bool:
    """Whether a table of runs can hold the seed; NaN stands for none."""
    if not is_a(value, float):
        return value is None
    return bool(pd.isna(value)) or (abs(value) <= LARGEST_INT and value % 1 == 0)


def _parts(
    file: Path,
    rows: pd.DataFrame,
    damage: list[Damage],
    values: Mapping[str, Any],
    within: str,
) -> Part:
    """One part for all runs of the file; damaged lines are listed with its first run."""
    nothing = [(tuple(values[name] for name in GROUP), rows)]
    found = []
    for key, mine in rows.groupby(list(GROUP), dropna=False, sort=False) if len(rows) else nothing:
        named = (f"{p:.0f}" if isinstance(p, float) else str(p) for p in key)
        run = "/".join([file.name, *named])
        lacks = [name for name in ("length", "wall_seconds") if name not in mine]
        lacks += [] if values.get("per_episode", True) else ["per-episode data"]
        facts = {
            **dict(zip(GROUP, key)),
            "run": f"{within}{run}",
            "run_id": f"table/{file.resolve()}/{run}",
            "folder": str(file.parent),
            "source": file.name,
            "lacks": ", ".join(lacks),
            **{name: values[name] for name in values if name in FACTS and name not in GROUP},
        }
        if "cost_limit" in mine:
            facts["cost_limit"] = float(mine["cost_limit"].iloc[0])
        keep = [column for column in mine if column in (*NUMBERS, "split") and column != "seed"]
        found.append(part(facts, mine[keep], () if found else damage))
    episodes = pd.concat([each.episodes for each in found], ignore_index=True)
    return Part(episodes, [fact for each in found for fact in each.facts], found[0].damage)
