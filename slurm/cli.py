"""`safedreamer sweep`: the runs of a suite, wherever they can run.

The same command again starts what is missing, failed or stale.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli.common import parse
from benchmarks.envs.factory import choose_python
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs.places import check_folder
from benchmarks.runs.plain_text import printable
from benchmarks.runs.spec import BadInput
from benchmarks.sweep.text import amount
from slurm.display import display
from slurm.drive import Drive, Retries
from slurm.executor import Executor, Job

if TYPE_CHECKING:
    from benchmarks.suites.suite import Entry, Suite
    from benchmarks.sweep.members import Member
    from benchmarks.sweep.needs import Estimate, Needs
    from benchmarks.sweep.plan import Plan

PROG = "safedreamer sweep"
SETTLED = ("done", "cancelled")
WAIT_SECONDS = 1.0  # between two looks at runs that other processes train


@dataclasses.dataclass(frozen=True)
class SweepArgs:
    """What to run, where, and how many at a time."""

    suite: str
    """Name of a suite, or a YAML file of your own; `safedreamer suites` lists the built-in ones."""
    filters: Annotated[tuple[str, ...], tyro.conf.arg(name="only")] = ()
    """Only runs that match FIELD=PATTERN or !FIELD=PATTERN: method=osrp* task=*Goal* seed=0."""
    out: Path | None = None
    """Results folder; runs/SUITE if not given. Several suites may share one: runs they have in
    common run once.
    """
    dry_run: bool = False
    """Print the runs, their hours, memory and disk, and start nothing."""
    cluster: Literal["local", "debug", "slurm"] = "local"
    """This machine, each run a process of its own; one after another in this process; or Slurm's
    jobs.
    """
    profile: Path | None = None
    """YAML file with what jobs ask of the Slurm cluster: partition, account, time, ...
    (docs/howto/slurm.md).
    """
    slurm: tuple[str, ...] = ()
    """KEY=VALUE, over the profile: partition=gpu time=4:00:00."""
    detach: bool = False
    """Return once the jobs are submitted; without it, the command watches them and may be stopped
    at any time.
    """
    jobs: int | None = None
    """Runs at a time; on this machine 1 if not given, on Slurm as many as it starts."""
    memory_gb: float | None = None
    """Memory for all runs together on this machine, in 1e9 bytes; what is free at the start if not
    given.
    """
    env_python: str | None = None
    """Interpreter that runs the environments, with Safety-Gymnasium; this one if neither given nor
    in SAFEDREAMER_ENV_PYTHON. Slurm's jobs take it from the profile's env_python first.
    """
    canary: bool = False
    """First one short run per method and variant; what fails there is not started."""
    sync: bool = False
    """Cancel runs that are no longer in the suite."""
    tags: tuple[str, ...] = ()
    """Tags for the runs, beside the suite's own."""
    retries: Annotated[Retries, tyro.conf.arg(name="retries")] = Retries()
    """What happens to crashed runs."""


def main(args: Sequence[str]) -> int:
    """Plan, print, run.

    Returns 0 when every run of the suite is done or cancelled, 1 when one is not, EXIT_STOPPED
    after a signal.

    With --dry-run and --detach nothing is waited for: 0 then says that all was planned or
    submitted.
    """
    chosen = parse(
        SweepArgs, args, PROG, "Run a suite: what is done stays, the rest is started or continued."
    )
    _check(chosen)
    choose_python(chosen.env_python)
    from benchmarks.cli.defaults import task_env_spec, task_settings
    from benchmarks.suites.reading import load
    from benchmarks.suites.suite import expand
    from benchmarks.sweep.filters import select_entries
    from benchmarks.sweep.needs import Estimate
    from benchmarks.sweep.plan import make_plan
    from benchmarks.sweep.preview import needs_of, preview
    from benchmarks.sweep.rates import Rates

    suite = load(chosen.suite)
    suite = dataclasses.replace(suite, tags=(*suite.tags, *chosen.tags))
    out = chosen.out or Path("runs") / suite.name
    entries = select_entries(expand(suite, task_settings), chosen.filters)
    wanted, there, damaged = _look(out, entries)
    plan = make_plan(suite.name, wanted, there)
    if chosen.filters:  # what the filters leave out has not left the suite
        plan.left.clear()
    estimate = Estimate(task_env_spec)
    needs = needs_of(plan.start, estimate)
    print(printable("\n".join(preview(suite, entries, plan, Rates(there), needs, out))), flush=True)
    if chosen.dry_run:
        return 1 if damaged else 0
    check_folder(out)
    memory = _memory_bytes(chosen)
    executor = _executor(chosen, out, memory, plan)
    if plan.start:
        _check_room(chosen, out, [needs[start.entry.spec.run_id] for start in plan.start], memory)
    jobs = _prepare(chosen, suite, out, plan, needs, estimate)
    if chosen.detach:
        executor.submit(jobs)
        print(
            "the jobs go on by themselves; the same command without --detach watches them",
            flush=True,
        )
        return 1 if damaged else 0
    with _stop_signals() as heard:
        _run(executor, jobs, chosen, out, heard)
        while not heard and (folders := _await_others(out, entries, heard)):
            again = make_plan(suite.name, *_look(out, entries)[:2])
            mine = [
                start
                for start in again.start
                if start.member is not None and start.member.folder in folders
            ]
            plan = again._replace(start=mine, left=[])
            later = dataclasses.replace(chosen, canary=False, sync=False)
            jobs = _prepare(later, suite, out, plan, needs_of(mine, estimate) | needs, estimate)
            _run(_executor(chosen, out, memory, plan), jobs, chosen, out, heard)
    if heard:
        return EXIT_STOPPED
    return _unfinished(out, suite, entries)


def _look(out: Path, entries: Sequence[Entry]) -> tuple[list[Entry], list[Member], bool]:
    """Runs of the suite without those whose files are damaged, which are named; all readable runs.

    Whether any is damaged.
    """
    from benchmarks.sweep.members import look_for

    found = look_for(out)
    for folder, error in found.damaged.items():
        print(printable(f"damaged, left as it is: {folder.name}: {error}"), file=sys.stderr)
    lost = {folder.name for folder in found.damaged}
    ids = {name.rpartition("-")[2] for name in lost}
    wanted = [
        entry for entry in entries if entry.spec.run_id not in ids and entry.folder_name not in lost
    ]
    return wanted, found.members, bool(lost)


def _await_others(out: Path, entries: Sequence[Entry], heard: list[str]) -> list[Path]:
    """Wait while runs of the suite are trained by other processes.

    Folders of those that then are not done, to be taken over.
    """
    from benchmarks.sweep.members import look_for

    ids = {entry.spec.run_id for entry in entries}
    watched: set[Path] = set()
    while not heard:
        there = [member for member in look_for(out).members if member.run_id in ids]
        running = {member.folder for member in there if member.state == "running"}
        if not running:
            return [
                member.folder
                for member in there
                if member.folder in watched and member.state not in SETTLED
            ]
        for folder in sorted(running - watched):
            print(printable(f"waiting for the process that trains it: {folder.name}"), flush=True)
        watched |= running
        time.sleep(WAIT_SECONDS)
    return []


def _unfinished(out: Path, suite: Suite, entries: Sequence[Entry]) -> int:
    """Name what of the suite is neither done nor cancelled; 1 if there is any, else 0."""
    from benchmarks.sweep.plan import make_plan

    wanted, there, damaged = _look(out, entries)
    plan = make_plan(suite.name, wanted, there)
    folders = [
        start.member.folder.name if start.member else start.entry.folder_name
        for start in plan.start
    ]
    folders += [member.folder.name for member in (*plan.running, *plan.cleaned)]
    for name in folders:
        print(printable(f"not done: {name}"), flush=True)
    return 1 if folders or damaged else 0


def _check(chosen: SweepArgs) -> None:
    if chosen.cluster != "slurm" and (chosen.profile or chosen.slurm or chosen.detach):
        raise BadInput("--profile, --slurm and --detach go with --cluster slurm")
    if chosen.filters and chosen.sync:
        raise BadInput("--sync compares the whole suite: it does not go with --only")


def _prepare(
    chosen: SweepArgs,
    suite: Suite,
    out: Path,
    plan: Plan,
    needs: Mapping[str, Needs],
    estimate: Estimate,
) -> list[Job]:
    """Folders and snapshot of what is to start; the jobs, canaries first.

    Runs under way are watched again on Slurm.
    """
    from benchmarks.methods import method
    from benchmarks.runs.checkpoint import explain_full_disk
    from benchmarks.sweep.code import snapshot
    from benchmarks.sweep.prepare import drop, prepare, still_wanted

    plan = still_wanted(plan)
    with explain_full_disk(out):
        if chosen.sync:
            drop(plan, suite.name)
        watch = plan.running if chosen.cluster == "slurm" else []
        if not plan.start and not watch:
            return []
        code = snapshot(out)
        folders = prepare(out, suite, plan, code.name)
        first = (
            _canaries(suite, out, [start.entry for start in plan.start], code, estimate)
            if chosen.canary
            else {}
        )
    jobs = list(first.values())
    for folder, start in zip(folders, plan.start, strict=True):
        canary = first.get(start.entry.label)
        after = canary.folder if canary is not None else None
        spec = start.entry.spec
        jobs.append(Job(folder, code, needs[spec.run_id].memory, method(spec.method).family, after))
    return [
        *jobs,
        *(Job(member.folder, code, 0, method(member.spec["method"]).family) for member in watch),
    ]


def _canaries(
    suite: Suite, out: Path, entries: Sequence[Entry], code: Path, estimate: Estimate
) -> dict[str, Job]:
    """The canaries that are not done yet, by label; those that run already are waited for."""
    from benchmarks.methods import method
    from benchmarks.sweep.canary import canaries, place
    from benchmarks.sweep.plan import make_plan
    from benchmarks.sweep.prepare import prepare

    wanted = canaries(entries)
    plan = make_plan(suite.name, *_look(place(out), list(wanted.values()))[:2])
    folders = prepare(place(out), suite, plan, code.name)
    print(
        f"canaries: {len(plan.start)} to run, {len(plan.done)} done, {len(plan.running)} "
        f"running, in {place(out)}",
        flush=True,
    )
    under_way = [(member.folder, wanted[member.label]) for member in plan.running]
    jobs = {}
    for folder, entry in [
        *zip(folders, (start.entry for start in plan.start), strict=True),
        *under_way,
    ]:
        jobs[entry.label] = Job(
            folder, code, estimate(entry.spec).memory, method(entry.spec.method).family
        )
    return jobs


def _run(
    executor: Executor, jobs: Sequence[Job], chosen: SweepArgs, out: Path, heard: list[str]
) -> None:
    """Run the jobs to their ends, or until a signal is in `heard`."""
    with display(out, chosen.cluster != "debug") as say:
        Drive(executor, chosen.retries, stop=lambda: bool(heard), say=say).run(jobs)
    if heard:
        what = (
            "the jobs go on, the same command watches them again"
            if chosen.cluster == "slurm"
            else "the same command continues"
        )
        print(f"{heard[0]}: stopped; {what}", flush=True)


def _executor(chosen: SweepArgs, out: Path, memory: int, plan: Plan) -> Executor:
    """Raises BadInput, before any run is touched, for what Slurm would refuse."""
    if chosen.cluster == "slurm":
        from slurm.start import slurm_executor

        return slurm_executor(out, chosen.profile, chosen.slurm, chosen.retries, chosen.jobs)
    if chosen.cluster == "debug":
        from slurm.debug import DebugExecutor

        return DebugExecutor()
    from slurm.local import LocalExecutor, visible_gpus

    here = [
        member.folder
        for member in plan.running
        if member.status and member.status.host == socket.gethostname()
    ]
    return LocalExecutor(chosen.jobs or 1, memory, visible_gpus(os.environ), here)


def _memory_bytes(chosen: SweepArgs) -> int:
    from benchmarks.sweep.needs import available_memory_bytes

    return available_memory_bytes() if chosen.memory_gb is None else round(chosen.memory_gb * 1e9)


def _check_room(chosen: SweepArgs, out: Path, needs: Sequence[Needs], memory: int) -> None:
    """Raise BadInput, before anything is started, when a run cannot fit."""
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
    at_once = (chosen.jobs or (1 if here else len(needs))) * max(need.disk for need in needs)
    if at_once > free:
        raise BadInput(
            f"runs at a time need up to {amount(at_once)} of disk and {place} has "
            f"{amount(free)}: choose another --out, fewer --jobs or a smaller replay.capacity"
        )


@contextmanager
def _stop_signals() -> Iterator[list[str]]:
    """Names of the signals that came to end this process.

    A second SIGINT is a KeyboardInterrupt again.
    """
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
