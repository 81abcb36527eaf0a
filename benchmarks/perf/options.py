"""Options of `python -m benchmarks.perf`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class PerfOptions:
    """Time planned actions and updates.

    Medians, peak memory, and the share of the machine's matmul peak they reach.
    """

    suite: Literal["release", "convolution", "baselines", "cpu", "scaling"] = "release"
    """Which cases: the release's presets, both forms of the convolutions, updates of LAMBDA and
    Safe SLAC, the preset cpu, or sizes one after another.
    """
    repeats: int = 7
    """Timed calls per case, after one that compiles."""
    only: str = ""
    """Run only cases whose name contains this text."""
    out: Path | None = None
    """Folder for SUITE.json; printed only if not given."""
    against: Path | None = None
    """Another checkout of this suite: each case is timed there too, right after."""
    rounds: int = 1
    """How often each case is timed on both sides in turn, in new processes. What is reported is the
    round with the median ratio to the other checkout, or the median time.
    """
