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
    """The first run of each label (method and variant), shortened."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry.label, short(entry))
    return found


def short(entry: Entry) -> Entry:
    """The run with a budget that reaches its first updates."""
    loop = entry.spec.loop
    steps = (loop.prefill + LEARNING_AGENT_STEPS) * loop.action_repeat
    return entry._replace(spec=dataclasses.replace(entry.spec, steps=min(entry.spec.steps, steps)))


def place(out: Path) -> Path:
    """Results folder of the canaries."""
    return out / CANARY
