"""`safedreamer sweep`: runs a suite on this machine or on Slurm.

Repeating the command starts the runs that are missing, failed or stale.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli.common import parse
from benchmarks.envs.factory import choose_python
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs.errors import BadInput
from benchmarks.runs.places import check_folder
from benchmarks.runs.plain_text import printable
from benchmarks.sweep.text import amount
from slurm.display import display
from slurm.drive import Drive, Retries
from slurm.executor import Executor, Job

if TYPE_CHECKING:
    from benchmarks.sweep.needs import Needs
    from benchmarks.sweep.plan import Plan

PROG = "safedreamer sweep"


@dataclasses.dataclass(frozen=True)
class SweepArgs:
    """Run a suite: what is done stays, the rest is started or continued."""

    suite: str
    """Name of a suite, or a YAML file of your own; `safedreamer suites` lists the built-in ones."""
    only: tuple[str, ...] = ()
    """Only runs that match FIELD=PATTERN or !FIELD=PATTERN: method=osrp* task=*Goal* seed=0."""
    out: Path | None = None
    """Results folder; runs/SUITE if not given. Suites may share one: common runs are run once."""
    dry_run: bool = False
    """Print the runs and their hours, memory and disk; start nothing."""
    cluster: Literal["local", "debug", "slurm"] = "local"
    """Where runs execute: one process each on this machine (local), one after another in this
    process (debug), or as Slurm jobs (slurm).
    """
    profile: Path | None = None
    """YAML file with the Slurm options of jobs: partition, account, time, ...
    (docs/howto/slurm.md).
    """
    slurm: tuple[str, ...] = ()
    """KEY=VALUE overrides of the profile: partition=gpu time=4:00:00."""
    detach: bool = False
    """Return once the jobs are submitted; otherwise the command monitors them and may be stopped
    at any time.
    """
    jobs: int | None = None
    """Concurrent runs; if not given, 1 on this machine and unlimited on Slurm."""
    memory_gb: float | None = None
    """Total memory of runs on this machine, in 1e9 bytes; if not given, what is free at the
    start.
    """
    env_python: str | None = None
    """Interpreter with Safety-Gymnasium that runs the environments; defaults to
    SAFEDREAMER_ENV_PYTHON, else this one. For Slurm jobs the profile's env_python takes precedence.
    """
    canary: bool = False
    """First do one short run per method and variant; start only those that succeed."""
    sync: bool = False
    """Cancel runs that are no longer in the suite."""
    tags: tuple[str, ...] = ()
    """Tags added to the suite's own."""
    retries: Annotated[Retries, tyro.conf.arg(name="retries")] = Retries()
    """Retries of crashed runs."""


def main(args: Sequence[str]) -> int:
    """Plan, preview and run a suite.

    Returns 0 when every run of the suite is done or cancelled, 1 when one is not, EXIT_STOPPED
    after a signal.

    With --dry-run or --detach it does not wait: 0 then means that all was planned or submitted.
    """
    chosen = parse(SweepArgs, args, PROG)
    _check(chosen)
    choose_python(chosen.env_python)
    from benchmarks.cli.defaults import task_env_spec, task_settings
    from benchmarks.suites.reading import load
    from benchmarks.suites.suite import expand
    from benchmarks.sweep.filters import select_entries
    from benchmarks.sweep.needs import Estimate, available_memory_bytes
    from benchmarks.sweep.preview import needs_of, preview
    from benchmarks.sweep.rates import Rates
    from slurm.jobs import await_others, look, make_jobs, unfinished

    suite = load(chosen.suite)
    suite = dataclasses.replace(suite, tags=(*suite.tags, *chosen.tags))
    out = chosen.out or Path("runs") / suite.name
    entries = select_entries(expand(suite, task_settings), chosen.only)
    plan, there, damaged = look(suite.name, out, entries)
    if chosen.only:  # filtered-out runs are still part of the suite
        plan.left.clear()
    estimate = Estimate(task_env_spec)
    needs = needs_of(plan.start, estimate)
    print(printable("\n".join(preview(suite, entries, plan, Rates(there), needs, out))), flush=True)
    if chosen.dry_run:
        return 1 if damaged else 0
    check_folder(out)
    memory = round(chosen.memory_gb * 1e9) if chosen.memory_gb else available_memory_bytes()
    executor = _executor(chosen, out, memory, plan)
    if plan.start:
        _check_room(chosen, out, [needs[start.entry.spec.run_id] for start in plan.start], memory)
    watch = chosen.cluster == "slurm"
    canaries_by = estimate if chosen.canary else None
    jobs = make_jobs(suite, out, plan, needs, watch, canaries_by, chosen.sync)
    if chosen.detach:
        from slurm.slurm import SlurmExecutor

        assert isinstance(executor, SlurmExecutor)  # see _check
        executor.submit_all(jobs)
        print("the jobs go on by themselves; the same command without --detach watches them")
        return 1 if damaged else 0
    with _stop_signals() as heard:
        _run(executor, jobs, chosen, out, heard)
        while not heard and (folders := await_others(out, entries, heard)):
            plan = look(suite.name, out, entries).plan
            mine = [each for each in plan.start if each.member and each.member.folder in folders]
            plan = plan._replace(start=mine, left=[])
            jobs = make_jobs(suite, out, plan, needs_of(mine, estimate) | needs, watch)
            _run(_executor(chosen, out, memory, plan), jobs, chosen, out, heard)
    if heard:
        return EXIT_STOPPED
    return unfinished(suite.name, out, entries)


def _check(chosen: SweepArgs) -> None:
    if chosen.cluster != "slurm" and (chosen.profile or chosen.slurm or chosen.detach):
        raise BadInput("--profile, --slurm and --detach go with --cluster slurm")
    if chosen.cluster == "debug" and chosen.jobs:
        raise BadInput("--cluster debug runs one after another: leave out --jobs")
    if chosen.cluster == "slurm" and chosen.memory_gb:
        raise BadInput(
            "--memory-gb is for runs on this machine: give each Slurm job "
            f"--slurm memory_gb={chosen.memory_gb:g}, or leave it out"
        )
    if chosen.only and chosen.sync:
        raise BadInput("--sync compares the whole suite: it does not go with --only")


def _run(
    executor: Executor, jobs: Sequence[Job], chosen: SweepArgs, out: Path, heard: list[str]
) -> None:
    """Run the jobs to their ends, or until a signal is appended to `heard`."""
    with display(out, chosen.cluster != "debug") as say:
        Drive(executor, chosen.retries, stop=lambda: bool(heard), say=say).run(jobs)
    if heard:
        what = "the same command continues"
        if chosen.cluster == "slurm":
            what = "the jobs go on, the same command watches them again"
        print(f"{heard[0]}: stopped; {what}", flush=True)


def _executor(chosen: SweepArgs, out: Path, memory: int, plan: Plan) -> Executor:
    """The chosen executor. Raises BadInput, before runs are touched, if Slurm would reject jobs."""
    if chosen.cluster == "slurm":
        from slurm.slurm import slurm_executor

        return slurm_executor(out, chosen.profile, chosen.slurm, chosen.retries, chosen.jobs)
    if chosen.cluster == "debug":
        from slurm.debug import DebugExecutor

        return DebugExecutor()
    from slurm.local import LocalExecutor, visible_gpus

    host = socket.gethostname()
    here = [each.folder for each in plan.running if each.status and each.status.host == host]
    return LocalExecutor(chosen.jobs or 1, memory, visible_gpus(os.environ), here)


def _check_room(chosen: SweepArgs, out: Path, needs: Sequence[Needs], memory: int) -> None:
    """Raise BadInput, before anything is started, if memory or disk cannot hold the runs."""
    here = chosen.cluster != "slurm"
    largest = max(need.memory for need in needs)
    if here and largest > memory:
        raise BadInput(
            f"a run needs {amount(largest)} of memory and {amount(memory)} are free: use a "
            "smaller replay.capacity, a replay.directory on disk, or --memory-gb if you know "
            "better"
        )
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    at_once = min(chosen.jobs or (1 if here else len(needs)), len(needs))
    disk = at_once * max(need.disk for need in needs)
    if disk > free:
        raise BadInput(
            f"runs at a time need up to {amount(disk)} of disk and {place} has "
            f"{amount(free)}: choose another --out, fewer --jobs or a smaller replay.capacity"
        )


@contextmanager
def _stop_signals() -> Iterator[list[str]]:
    """Collect the names of stop signals; a second SIGINT raises KeyboardInterrupt."""
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
