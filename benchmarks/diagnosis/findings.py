"""What a diagnosis finds, as rows of one tidy table, which `python -m analysis diagnosis`
draws.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# who predicts: the world model, or one of two that know nothing of it
MODEL, LAST_SEEN, MEAN = "model", "last seen", "mean"

# a quantity's beginning, and what it is of
AT_POSTERIOR, REPLAYED, NEW = "at the posterior, ", "replayed rows", "new rows"


class Finding(NamedTuple):
    """One figure: what it is, agent steps ahead (-1 where that means nothing), value, and what else
    it is of.

    `bin_low` is the lower edge of a bin of predictions (NaN without bins), `env_steps` the
    simulator steps of training it is of (-1 for those of the checkpoint).
    """

    quantity: str
    steps_ahead: int
    value: float
    predictor: str = MODEL
    bin_low: float = float("nan")
    env_steps: int = -1


COLUMNS = ("quantity", "predictor", "steps_ahead", "bin_low", "env_steps", "value")


def write(path: Path, findings: Iterable[Finding], env_steps: int) -> None:
    """All findings as CSV with COLUMNS, in a folder that need not exist; `env_steps` are the
    checkpoint's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for finding in findings:
            row = finding._replace(
                env_steps=env_steps if finding.env_steps < 0 else finding.env_steps
            )._asdict()
            writer.writerow([row[name] for name in COLUMNS])
