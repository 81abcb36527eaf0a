"""Read the results folder of `safedreamer stress`: records, and each run's task and cost limit."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.runs.files import STRESS_ERRORS_FILE, STRESS_FILE, STRESS_RECORDS_FILE
from benchmarks.runs.reading import DamagedFile, expect, read_object, read_text
from benchmarks.runs.records import DTYPES, ERROR_COLUMNS, STRESS_COLUMNS

UNDISTURBED = "none"  # perturbation at strength 0


def read(folder: Path) -> pd.DataFrame:
    """Episodes with the columns of the records, the run's `own_task` and `cost_limit` (NaN without
    one), and the `unit` of the strength.

    Raises FileNotFoundError if there are no records, DamagedFile if they are of another kind or
    damaged.
    """
    file = folder / STRESS_RECORDS_FILE
    try:
        frame = _csv(file, {**DTYPES, "perturbation": "str", "strength": "float64"}, STRESS_COLUMNS)
    except FileNotFoundError:
        raise FileNotFoundError(f"no records of a stress test at {file}") from None
    if frame.empty:
        raise DamagedFile(file, None, "it holds no episode")
    about = read_object(folder / STRESS_FILE)
    expect(about, {"runs": dict, "units": dict}, folder / STRESS_FILE)
    runs = {(run["run_id"], run["method"]): run for run in about["runs"].values()}
    keys = list(zip(frame["run_id"], frame["method"]))
    if lacking := [key for key in keys if key not in runs]:
        raise DamagedFile(folder / STRESS_FILE, None, f"it does not name the run {lacking[0][0]}")
    limits = [runs[key]["cost_limit"] for key in keys]
    units = {name: str(unit) for name, unit in about["units"].items()}
    return frame.assign(
        unit=[units.get(name, "") for name in frame["perturbation"]],
        own_task=[runs[key]["task"] for key in keys],
        cost_limit=[np.nan if limit is None else float(limit) for limit in limits],
    )


def read_errors(folder: Path) -> pd.DataFrame:
    """Prediction errors of the world models in these episodes, columns ERROR_COLUMNS; no rows if
    none were measured.

    Raises DamagedFile for any other content.
    """
    file = folder / STRESS_ERRORS_FILE
    dtypes = {name: DTYPES.get(name, "float64") for name in ERROR_COLUMNS}
    dtypes |= {"perturbation": "str", "windows": "int64", "steps_ahead": "int64"}
    try:
        return _csv(file, dtypes, ERROR_COLUMNS)
    except FileNotFoundError:
        return pd.DataFrame(columns=list(ERROR_COLUMNS)).astype(dtypes)


def _csv(file: Path, dtypes: Mapping[str, str], columns: tuple[str, ...]) -> pd.DataFrame:
    """The rows of a file with exactly these columns; DamagedFile for any other content."""
    try:
        frame = pd.read_csv(io.StringIO(read_text(file)), keep_default_na=False)
        if tuple(frame.columns) != columns:
            raise ValueError(f"expected the columns {','.join(columns)}")
        return frame.astype(dict(dtypes))
    except (ValueError, csv.Error, OverflowError) as error:
        raise DamagedFile(file, None, str(error)) from error
