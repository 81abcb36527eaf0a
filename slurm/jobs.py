"""The state of a suite's runs in a results folder, and the jobs a sweep command makes from it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.methods import method
from benchmarks.runs.checkpoint import explain_full_disk
from benchmarks.runs.plain_text import printable
from benchmarks.suites.suite import Entry, Suite
from benchmarks.sweep.canary import canaries, place
from benchmarks.sweep.code import snapshot
from benchmarks.sweep.members import Member, look_for
from benchmarks.sweep.needs import Estimate, Needs
from benchmarks.sweep.plan import Plan, make_plan
from benchmarks.sweep.prepare import drop, prepare, still_wanted
from slurm.executor import Job

SETTLED = ("done", "cancelled")
WAIT_SECONDS = 1.0  # between polls of runs that other processes train


class Found(NamedTuple):
    """A suite's plan without damaged runs, and all readable runs of the folder."""

    plan: Plan
    members: list[Member]
    damaged: bool  # whether any run is damaged


def look(suite: str, out: Path, entries: Sequence[Entry]) -> Found:
    """Find which runs of a suite exist and which to start. Prints the damaged ones."""
    found = look_for(out)
    for folder, error in found.damaged.items():
        print(printable(f"damaged, left as it is: {folder.name}: {error}"), file=sys.stderr)
    # a folder's name ends in its run id
    lost = {folder.name.rpartition("-")[2] for folder in found.damaged}
    wanted = [entry for entry in entries if entry.spec.run_id not in lost]
    return Found(make_plan(suite, wanted, found.members), found.members, bool(lost))


def await_others(out: Path, entries: Sequence[Entry], heard: list[str]) -> list[Path]:
    """Wait while runs of the suite are trained by other processes.

    Returns the folders of those that are then neither done nor cancelled, to be taken over.
    """
    ids = {entry.spec.run_id for entry in entries}
    watched: set[Path] = set()
    while not heard:
        there = [member for member in look_for(out).members if member.run_id in ids]
        running = {member.folder for member in there if member.state == "running"}
        if not running:
            over = [member.folder for member in there if member.state not in SETTLED]
            return [folder for folder in over if folder in watched]
        for folder in sorted(running - watched):
            print(printable(f"waiting for the process that trains it: {folder.name}"), flush=True)
        watched |= running
        time.sleep(WAIT_SECONDS)
    return []


def unfinished(suite: str, out: Path, entries: Sequence[Entry]) -> int:
    """Print the runs of the suite that are not settled; returns 1 if there are any, else 0."""
    plan, _, damaged = look(suite, out, entries)
    names = [
        each.member.folder.name if each.member else each.entry.folder_name for each in plan.start
    ]
    names += [member.folder.name for member in (*plan.running, *plan.cleaned, *plan.beyond)]
    for name in names:
        print(printable(f"not done: {name}"), flush=True)
    return 1 if names or damaged else 0


def make_jobs(
    suite: Suite,
    out: Path,
    plan: Plan,
    needs: Mapping[str, Needs],
    watch: bool,
    canaries_by: Estimate | None = None,
    sync: bool = False,
) -> list[Job]:
    """Prepare the run folders and the code snapshot; returns the jobs, canaries (if any) first.

    With `watch`, running runs become jobs too, which Slurm's executor monitors again.
    """
    plan = still_wanted(plan)
    with explain_full_disk(out):
        if sync:
            drop(plan, suite.name)
        running = plan.running if watch else []
        if not plan.start and not running:
            return []
        code = snapshot(out)
        folders = prepare(out, suite, plan, code.name)
        entries = [start.entry for start in plan.start]
        first = _canaries(suite, out, entries, code, canaries_by) if canaries_by else {}
    jobs = list(first.values())
    for folder, entry in zip(folders, entries, strict=True):
        memory, family = needs[entry.spec.run_id].memory, method(entry.spec.method).family
        after = first[entry.label].folder if entry.label in first else None
        jobs.append(Job(folder, code, memory, family, after))
    for member in running:
        jobs.append(Job(member.folder, code, 0, method(member.spec["method"]).family))
    return jobs


def _canaries(
    suite: Suite, out: Path, entries: Sequence[Entry], code: Path, estimate: Estimate
) -> dict[str, Job]:
    """Jobs of the canaries that are not done yet, running ones included, by label."""
    wanted = canaries(entries)
    plan = look(suite.name, place(out), list(wanted.values())).plan
    folders = prepare(place(out), suite, plan, code.name)
    print(
        f"canaries: {len(plan.start)} to run, {len(plan.done)} done, {len(plan.running)} "
        f"running, in {place(out)}",
        flush=True,
    )
    starting = zip(folders, (start.entry for start in plan.start), strict=True)
    by_id = {entry.spec.run_id: entry for entry in wanted.values()}  # labels may be new
    under_way = ((member.folder, by_id[member.run_id]) for member in plan.running)
    jobs = {}
    for folder, entry in (*starting, *under_way):
        memory, family = estimate(entry.spec).memory, method(entry.spec.method).family
        jobs[entry.label] = Job(folder, code, memory, family)
    return jobs
