"""Tables that `safedreamer diagnose` writes: what an agent predicts against what happens."""

from __future__ import annotations

import csv
import io
import os

import pandas as pd

from benchmarks.runs.reading import DamagedFile, read_text
from benchmarks.runs.records import FINDING_COLUMNS

LARGEST = 1e12  # larger values cannot be drawn


def read(file: str | os.PathLike[str]) -> pd.DataFrame:
    """The table of a file; values beyond LARGEST are NaN.

    Raises DamagedFile for anything else: a column is missing, or a value is not a number.
    """
    text = read_text(file)
    try:
        table = pd.read_csv(io.StringIO(text))
        if missing := [name for name in FINDING_COLUMNS if name not in table]:
            raise ValueError(f"it lacks the columns {', '.join(missing)}")
        numbers = table[["steps_ahead", "bin_low", "env_steps", "value"]].astype(float)
    except (ValueError, OverflowError, csv.Error) as error:
        raise DamagedFile(file, None, f"no table of a diagnosis: {error}") from error
    return table.assign(
        **{name: numbers[name].where(numbers[name].abs() < LARGEST) for name in numbers}
    )
