"""Canaries: one short run per method and variant, which must finish before the others start.

They train just past their first updates and end with an evaluation, in a results folder of their
own, `canary`: their records are not part of the sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from benchmarks.suites.suite import Entry

CANARY = "canary"  # folder in the results folder
LEARNING_AGENT_STEPS = 200  # after prefill


def canaries(entries: Sequence[Entry]) -> dict[str, Entry]:
    """The first run of each label (method and variant), with a budget that reaches its updates."""
    found: dict[str, Entry] = {}
    for entry in entries:
        spec, loop = entry.spec, entry.spec.loop
        steps = (loop.prefill + LEARNING_AGENT_STEPS) * loop.action_repeat
        short = dataclasses.replace(spec, steps=min(spec.steps, steps))
        found.setdefault(entry.label, entry._replace(spec=short))
    return found


def place(out: Path) -> Path:
    """Results folder of the canaries."""
    return out / CANARY
