"""Options of `python -m benchmarks.perf`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class PerfOptions:
    """Time planned actions and updates.

    Reports medians, peak memory, and the share of the machine's matmul peak.
    """

    suite: Literal["release", "convolution", "baselines", "cpu", "scaling"] = "release"
    """Cases: the release's presets, the implementations of the convolutions, updates of the
    baselines, the preset cpu, or one size changed at a time.
    """
    repeats: int = 7
    """Timed calls per case, after one to compile."""
    only: str = ""
    """Run only cases whose name contains this text."""
    out: Path | None = None
    """Folder for SUITE.json; if not given, results are only printed."""
    against: Path | None = None
    """Another checkout of this suite, in which each case is timed directly afterwards."""
    rounds: int = 1
    """Rounds in which each case is timed on both sides, in new processes. Reports the round with
    the median ratio to the other checkout, or with the median time.
    """
