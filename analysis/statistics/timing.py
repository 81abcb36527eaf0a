"""How long a run took to choose its actions.

Milliseconds per agent step, from the training metrics of its folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.runs.files import METRICS_FILE


def act_ms(folders: Mapping[str, Path]) -> pd.Series:
    """Milliseconds per agent step by run, index as given; NaN for a run without metrics."""
    return pd.Series(
        {run: _act_ms(folder / METRICS_FILE) for run, folder in folders.items()}, dtype=float
    )


def _act_ms(file: Path) -> float:
    """Median over the intervals of metrics.jsonl of `time/act` per agent step.

    The first ones, which compile, do not matter then.
    """
    if not file.is_file():
        return np.nan
    with file.open(encoding="utf-8", errors="replace") as lines:
        return _median_interval(lines)


def _median_interval(lines: Iterable[str]) -> float:
    before, intervals = 0, []
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue  # a line cut off by a kill; the loader names damaged records
        steps = line.get("agent_steps", before) - before
        if steps > 0 and "time/act" in line:
            intervals.append(1000.0 * line["time/act"] / steps)
        before = max(before, line.get("agent_steps", before))
    return float(np.median(intervals)) if intervals else np.nan
