"""What a sweep command has to start, given the runs that a suite wants and the runs that are there.

Pure: reads and writes no files.

A run is known by its run id, which the step budget is no part of: a finished run with fewer steps
than wanted goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from benchmarks.suites.suite import Entry
from benchmarks.sweep.members import Budget, Member, State

Why: TypeAlias = Literal["new", "waiting", "continues", "longer", "failed", "stale"]


class Start(NamedTuple):
    """A run to start, and the folder that it already has."""

    entry: Entry
    member: Member | None
    why: Why


class Plan(NamedTuple):
    """What becomes of every run of a suite, and what the suite no longer has."""

    start: list[Start]
    done: list[Member]
    running: list[Member]
    cancelled: list[Member]  # by a person; `safedreamer retry` brings them back
    cleaned: list[Member]  # finished with fewer steps than wanted, and cannot go on
    left: list[Member]  # runs of this suite's earlier versions

    def counts(self) -> dict[str, int]:
        """How many runs of each kind, kinds without any left out."""
        kinds: dict[str, int] = {}
        for start in self.start:
            kinds[start.why] = kinds.get(start.why, 0) + 1
        kinds |= {
            "running": len(self.running),
            "done": len(self.done),
            "cancelled": len(self.cancelled),
            "cleaned": len(self.cleaned),
        }
        return {kind: count for kind, count in kinds.items() if count}


def make_plan(suite: str, entries: Sequence[Entry], there: Iterable[Member]) -> Plan:
    """What the suite's command has to do in a results folder that holds `there`."""
    known = {member.run_id: member for member in there}
    plan = Plan([], [], [], [], [], [])
    for entry in entries:
        member = known.get(entry.spec.run_id)
        if member is None:
            plan.start.append(Start(entry, None, "new"))
        elif member.state == "running":
            plan.running.append(member)
        elif _trained(member, entry):
            plan.done.append(member)
        elif member.state == "cancelled":
            plan.cancelled.append(member)
        elif any(event.event == "cleaned" for event in member.events):
            plan.cleaned.append(member)
        else:
            plan.start.append(Start(entry, member, _why(member, entry)))
    wanted = {entry.spec.run_id for entry in entries}
    plan.left.extend(
        member
        for member in known.values()
        if suite in member.suites and member.run_id not in wanted
    )
    return plan


def _trained(member: Member, entry: Entry) -> bool:
    """Whether its run ended with all the steps, or all the minutes, that are wanted now."""
    return member.status is not None and Budget(entry.spec.steps, entry.spec.max_minutes).spent(
        member.status
    )


def _why(member: Member, entry: Entry) -> Why:
    if member.state == State.FAILED:
        return "failed"
    if member.state == State.STALE:
        return "stale"
    if member.status is not None and member.status.state in ("finished", "out_of_time"):
        return "longer"
    return "continues" if member.env_steps else "waiting"
