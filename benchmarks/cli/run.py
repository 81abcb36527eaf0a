"""`safedreamer run`: train the run of a run folder, in the foreground. Executors start runs by this command too."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.spec import BadInput


@dataclasses.dataclass(frozen=True)
class RunArgs:
    """Which run."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Run folder, or results folder of a sweep."""
    run: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Run id, folder name or FIELD=PATTERN that choose one run of a results folder."""
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
    from benchmarks.sweep.filters import select
    from benchmarks.sweep.members import members

    found = select(members(chosen.folder), chosen.run)
    if len(found) > 1:
        raise BadInput(f"{len(found)} runs match; name one by its id, such as {found[0].run_id}")
    folder = found[0].folder
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
