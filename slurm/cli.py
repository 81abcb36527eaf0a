"""`safedreamer sweep`: the runs of a suite, wherever they can run. The same command again starts what is missing, failed or stale."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli.common import parse
from benchmarks.signals import EXIT_STOPPED
from benchmarks.spec import BadInput
from benchmarks.sweep.text import amount
from slurm.drive import Drive, Retries
from slurm.executor import Executor, Job

if TYPE_CHECKING:
    from benchmarks.sweep.needs import Needs

PROG = "safedreamer sweep"


@dataclasses.dataclass(frozen=True)
class SweepArgs:
    """What to run, where, and how many at a time."""

    suite: str
    """Name of a suite, or a YAML file of your own; `safedreamer suites` lists the built-in ones."""
    out: Path | None = None
    """Results folder; runs/SUITE if not given. Several suites may share one: runs they have in common run once."""
    dry_run: bool = False
    """Print the runs, their hours, memory and disk, and start nothing."""
    cluster: Literal["local", "debug"] = "local"
    """This machine, each run a process of its own; or one after another in this process."""
    jobs: int = 1
    """Runs at a time."""
    memory_gb: float | None = None
    """Memory for all runs together, in 1e9 bytes; what is free at the start if not given."""
    sync: bool = False
    """Cancel runs that are no longer in the suite."""
    tags: tuple[str, ...] = ()
    """Tags for the runs, beside the suite's own."""
    retries: Annotated[Retries, tyro.conf.arg(name="retries")] = Retries()
    """What happens to crashed runs."""


def main(args: Sequence[str]) -> int:
    """Plan, print, run. Returns 0, 1 when runs failed for good, EXIT_STOPPED after a signal."""
    chosen = parse(SweepArgs, args, PROG, "Run a suite: what is done stays, the rest is started or continued.")
    if chosen.jobs < 1:
        raise BadInput(f"jobs={chosen.jobs} must be at least 1")
    if chosen.memory_gb is not None and not chosen.memory_gb > 0:
        raise BadInput(f"memory_gb={chosen.memory_gb} must be positive")
    from benchmarks.cli.defaults import task_env_spec, task_settings
    from benchmarks.suites.reading import load
    from benchmarks.suites.suite import expand
    from benchmarks.sweep.members import existing
    from benchmarks.sweep.needs import Estimate
    from benchmarks.sweep.plan import make_plan
    from benchmarks.sweep.preview import needs_of, preview
    from benchmarks.sweep.rates import Rates

    suite = load(chosen.suite)
    suite = dataclasses.replace(suite, tags=(*suite.tags, *chosen.tags))
    out = chosen.out or Path("runs") / suite.name
    entries = expand(suite, task_settings)
    there = existing(out)
    plan = make_plan(suite.name, entries, there)
    needs = needs_of(plan.start, Estimate(task_env_spec))
    print("\n".join(preview(suite, entries, plan, Rates(there), needs, out)), flush=True)
    if chosen.dry_run:
        return 0
    memory = _memory_bytes(chosen)
    if plan.start:
        _check_room(chosen, out, [needs[start.entry.spec.run_id] for start in plan.start], memory)

    from benchmarks.checkpoint import explain_full_disk
    from benchmarks.sweep.code import snapshot
    from benchmarks.sweep.prepare import drop, prepare

    with explain_full_disk(out):
        if chosen.sync:
            drop(plan, suite.name)
        if not plan.start:
            return 0
        code = snapshot(out)
        folders = prepare(out, suite, plan, code.name)
    jobs = [Job(folder, code, needs[start.entry.spec.run_id].memory) for folder, start in zip(folders, plan.start, strict=True)]
    return _run(_executor(chosen, memory), jobs, chosen.retries)


def _run(executor: Executor, jobs: Sequence[Job], retries: Retries) -> int:
    with _stop_signals() as heard:
        drive = Drive(executor, retries, stop=lambda: bool(heard), say=lambda text: print(text, flush=True))
        drive.run(jobs)
    if heard:
        print(f"{heard[0]}: stopped; the same command continues", flush=True)
        return EXIT_STOPPED
    return 1 if drive.failed else 0


def _executor(chosen: SweepArgs, memory: int) -> Executor:
    if chosen.cluster == "debug":
        from slurm.debug import DebugExecutor

        return DebugExecutor()
    from slurm.local import LocalExecutor, visible_gpus

    return LocalExecutor(chosen.jobs, memory, visible_gpus(os.environ))


def _memory_bytes(chosen: SweepArgs) -> int:
    from benchmarks.sweep.needs import available_memory_bytes

    return available_memory_bytes() if chosen.memory_gb is None else round(chosen.memory_gb * 1e9)


def _check_room(chosen: SweepArgs, out: Path, needs: Sequence[Needs], memory: int) -> None:
    """Raise BadInput, before anything is started, when a run cannot fit."""
    largest = max(need.memory for need in needs)
    if largest > memory:
        raise BadInput(
            f"a run needs {amount(largest)} of memory and {amount(memory)} are free: use a smaller replay.capacity, a "
            "replay.directory on disk, or --memory-gb if you know better"
        )
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    at_once = chosen.jobs * max(need.disk for need in needs)
    if at_once > free:
        raise BadInput(
            f"{chosen.jobs} runs at a time need up to {amount(at_once)} of disk and {place} has {amount(free)}: choose another "
            "--out, fewer --jobs or a smaller replay.capacity"
        )


@contextmanager
def _stop_signals() -> Iterator[list[str]]:
    """Names of the signals that came to end this process. A second SIGINT is a KeyboardInterrupt again."""
    heard: list[str] = []

    def hear(number: int, frame: object) -> None:
        heard.append(signal.Signals(number).name)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
