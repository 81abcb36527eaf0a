"""`safedreamer run`: train the run of a run folder, in the foreground. Executors start runs by this command too."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from benchmarks.cli.common import parse
from benchmarks.cli.selection import Selection
from benchmarks.spec import BadInput


@dataclasses.dataclass(frozen=True)
class RunArgs(Selection):
    """Which run, and where."""

    here: bool = False
    """In the foreground, in this process; `safedreamer sweep` starts runs everywhere else."""
    report_seconds: float = 60.0
    """Seconds between progress lines where stdout is no terminal."""


def main(args: Sequence[str]) -> int:
    """Train as far as the run's spec says; returns 0, or EXIT_STOPPED after a signal, with a checkpoint."""
    chosen = parse(RunArgs, args, "safedreamer run", "Train the run of a run folder as its spec.json says.")
    if not chosen.here:
        raise BadInput(
            "add --here to train in the foreground; `safedreamer sweep` starts runs in the background or on a cluster"
        )
    found = chosen.members()
    if len(found) > 1:
        raise BadInput(f"{len(found)} runs match; name one by its id, such as {found[0].run_id}")
    folder = found[0].folder
    if found[0].standing == "done":  # whose checkpoints may be gone
        print(f"finished already at {found[0].env_steps:,} simulator steps: {folder}")
        return 0
    from benchmarks.loop import Options
    from benchmarks.progress import reporter
    from benchmarks.run import launch
    from benchmarks.run_folder import load_spec
    from benchmarks.signals import EXIT_STOPPED, OnSignal

    spec = load_spec(folder)
    print(f"{spec.method} on {spec.task} ({spec.obs}), seed {spec.seed}, run {spec.run_id} in {folder}", flush=True)
    with OnSignal() as stop, contextlib.closing(reporter(spec.method, chosen.report_seconds)) as live:
        result = launch(spec, folder, Options(reporter=live, stop=stop))
    state = "finished" if result.finished else "stopped; the same command continues it"
    print(f"{state} at {result.env_steps:,} simulator steps, {result.updates:,} updates; records in {folder}", flush=True)
    return 0 if result.finished else EXIT_STOPPED
