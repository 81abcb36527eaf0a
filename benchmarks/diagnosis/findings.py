"""Findings of a diagnosis as rows of one tidy table, plotted by `python -m analysis diagnosis`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.runs.records import FINDING_COLUMNS

# predictors: the world model and two baselines that do not use it
MODEL, LAST_SEEN, MEAN = "model", "last seen", "mean"

# prefix of a quantity, and the rows it refers to
AT_POSTERIOR, REPLAYED, NEW = "at the posterior, ", "replayed rows", "new rows"


class Finding(NamedTuple):
    """One number: its quantity, agent steps ahead (-1 if not applicable), value and context.

    `bin_low` is the lower edge of a bin of predictions (NaN without bins), `env_steps` the
    simulator steps of training it refers to (-1 for those of the checkpoint).
    """

    quantity: str
    steps_ahead: int
    value: float
    predictor: str = MODEL
    bin_low: float = float("nan")
    env_steps: int = -1


def write(path: Path, findings: Iterable[Finding], env_steps: int) -> None:
    """Write all findings as CSV with FINDING_COLUMNS, creating the folder; `env_steps` are the
    checkpoint's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FINDING_COLUMNS)
        for finding in findings:
            row = finding._asdict()
            if finding.env_steps < 0:
                row["env_steps"] = env_steps
            writer.writerow([row[name] for name in FINDING_COLUMNS])
