"""`safedreamer run`: train the run of a run folder, in the foreground.

Executors start runs with this command too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.cli.foreground import train_here
from benchmarks.cli.selection import Selection
from benchmarks.runs.errors import BadInput


@dataclasses.dataclass(frozen=True)
class RunArgs(Selection):
    """Train the run of a run folder as its spec.json says."""

    here: bool = False
    """Train in the foreground, in this process; `safedreamer sweep` starts runs elsewhere."""
    report_seconds: float = 60.0
    """Seconds between progress lines if stdout is not a terminal."""


def main(args: Sequence[str]) -> int:
    """Train the run up to its spec's budget; returns 0, or EXIT_STOPPED after a signal."""
    chosen = parse(RunArgs, args, "safedreamer run")
    if not chosen.here:
        raise BadInput(
            "add --here to train in the foreground; `safedreamer sweep` starts runs in the "
            "background or on a cluster"
        )
    from benchmarks.methods.saved import load_spec
    from benchmarks.sweep.filters import select
    from benchmarks.sweep.members import members

    found = select(members(chosen.folder), chosen.filters)
    if len(found) > 1:
        raise BadInput(f"{len(found)} runs match; name one by its id, such as {found[0].run_id}")
    folder = found[0].folder
    if found[0].state == "done":  # its checkpoints may have been deleted
        print(f"finished already at {found[0].env_steps:,} simulator steps: {folder}")
        return 0
    return train_here(load_spec(folder), folder, chosen.report_seconds)
