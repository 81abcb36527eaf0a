"""Acting time of runs in milliseconds per agent step, from the metrics in their folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.runs.files import METRICS_FILE
from benchmarks.runs.reading import DamagedFile, is_a, parse_object, read_bytes

MAX_METRICS = 2**30  # bytes


def act_ms(folders: Mapping[str, Path]) -> pd.Series:
    """Milliseconds per agent step by run, index as given; NaN for a run without metrics."""
    return pd.Series(
        {run: _act_ms(folder / METRICS_FILE) for run, folder in folders.items()}, dtype=float
    )


def _act_ms(file: Path) -> float:
    """Median over the intervals of metrics.jsonl of `time/act` per agent step.

    The median is robust to the first intervals, which include compilation.
    """
    try:
        return _median_interval(
            read_bytes(file, MAX_METRICS).decode("utf-8", errors="replace").splitlines()
        )
    except (FileNotFoundError, DamagedFile):
        return np.nan


def _median_interval(lines: Iterable[str]) -> float:
    before, intervals = 0, []
    for text in lines:
        try:
            line = parse_object(text, METRICS_FILE)
        except DamagedFile:
            continue  # a line cut off by a kill; the loader names damaged records
        now, seconds = line.get("agent_steps", before), line.get("time/act")
        if not is_a(now, int):
            continue
        if now > before and is_a(seconds, float) and np.isfinite(seconds):
            intervals.append(1000.0 * seconds / (now - before))
        before = max(before, now)
    return float(np.median(intervals)) if intervals else np.nan
