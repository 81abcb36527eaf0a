"""Training metrics: averaged over a window, written as one JSON row, with the seconds that each
part of the loop took.

Values stay on the device until the window is flushed, so that logging never blocks the learner.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs.files import METRICS_FILE
from benchmarks.runs.writing import Appended


def is_clock(name: str) -> bool:
    """Whether a metric measures time, and so may differ in a resumed run."""
    return name.startswith("time/") or name in ("wall_seconds", "env_steps_per_second")


class Window:
    """Collects scalars or per-environment arrays, on host or device.

    `flush` returns their means. It fetches them one by one, because `jax.device_get` takes four
    times as long for thousands of scalars.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = defaultdict(list)

    def add(self, values: Mapping[str, Any], prefix: str = "") -> None:
        for name, value in values.items():
            self._values[prefix + name].append(value)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Values added since the last flush, one row each; see `restore`."""
        return {
            name: np.stack([np.asarray(value) for value in values])
            for name, values in self._values.items()
        }

    def restore(self, values: Mapping[str, np.ndarray]) -> None:
        """Continue from a snapshot."""
        self._values.clear()
        self._values.update({name: list(rows) for name, rows in values.items()})

    def flush(self) -> dict[str, float]:
        """Means of everything added since the last flush (mean over elements too), sorted by
        name.
        """
        values, self._values = self._values, defaultdict(list)
        return {
            name: float(np.mean([np.mean(np.asarray(value)) for value in values[name]]))
            for name in sorted(values)
        }


class Sections:
    """Seconds of wall clock spent in each named part of the loop since the last flush."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._start = time.perf_counter()
        self.last = 0.0  # seconds of the part that ended last

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.last = time.perf_counter() - start
            self._seconds[name] += self.last

    def flush(self) -> dict[str, float]:
        """Return `time/<part>` in seconds, `time/other` for the rest, and `time/total`."""
        now = time.perf_counter()
        total, self._start = now - self._start, now
        seconds = {f"time/{name}": round(value, 4) for name, value in sorted(self._seconds.items())}
        seconds["time/other"] = round(total - sum(self._seconds.values()), 4)
        self._seconds.clear()
        return seconds | {"time/total": round(total, 4)}


class MetricsWriter(Appended):
    """One JSON object per row in metrics.jsonl."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / METRICS_FILE)

    def write(self, row: Mapping[str, float | int]) -> None:
        """Append `row`; NaN and infinities, which JSON lacks, are written as null."""
        plain = {key: (value if np.isfinite(value) else None) for key, value in row.items()}
        self._file.write(json.dumps(plain) + "\n")
        self._file.flush()
