"""Acting time of runs in milliseconds per agent step, from the metrics in their folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.runs.files import METRICS_FILE
from benchmarks.runs.reading import DamagedFile, is_a, parse_object, read_bytes

MAX_METRICS = 2**30  # bytes


def act_ms(folder: str) -> float:
    """Milliseconds per agent step of the run in a folder; NaN without metrics.

    The median over the intervals of metrics.jsonl, which is robust to the first ones, which include
    compilation.
    """
    try:
        data = read_bytes(Path(folder) / METRICS_FILE, MAX_METRICS)
    except (FileNotFoundError, DamagedFile):
        return np.nan
    before, intervals = 0, []
    for text in data.decode("utf-8", errors="replace").splitlines():
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
