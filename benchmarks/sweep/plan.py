"""Which runs a sweep command starts, given the runs of a suite and the existing runs.

Pure: reads and writes no files.

Runs are identified by run id, which does not depend on the step budget: a finished run with fewer
steps than required continues, and one that is to go on beyond them is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from benchmarks.runs.errors import BadInput
from benchmarks.suites.suite import Entry
from benchmarks.sweep.members import Budget, Member, State

Why: TypeAlias = Literal["new", "waiting", "continues", "longer", "failed", "stale"]


class Start(NamedTuple):
    """A run to start, with its existing folder if any."""

    entry: Entry
    member: Member | None
    why: Why

    @property
    def env_steps(self) -> int:
        """Simulator steps trained so far."""
        return self.member.env_steps if self.member else 0


class Plan(NamedTuple):
    """What to do with every run of a suite, and runs that the suite no longer contains."""

    start: list[Start]
    done: list[Member]
    running: list[Member]
    cancelled: list[Member]  # `safedreamer retry` resets them
    cleaned: list[Member]  # finished with fewer steps than required, and cannot continue
    beyond: list[Member]  # unfinished at more steps than required: fewer would hide the rest
    left: list[Member]  # runs of earlier versions of this suite

    def counts(self) -> dict[str, int]:
        """Number of runs of each kind, without empty kinds."""
        kinds = Counter[str](start.why for start in self.start)
        for kind in ("running", "done", "cancelled", "cleaned", "beyond"):
            kinds[kind] = len(getattr(self, kind))
        return {kind: count for kind, count in kinds.items() if count}


def make_plan(suite: str, entries: Sequence[Entry], there: Iterable[Member]) -> Plan:
    """Plan the suite's sweep in a results folder that holds the runs `there`.

    Raises BadInput if two folders hold the same run of the suite.
    """
    there = list(there)
    wanted = {entry.spec.run_id for entry in entries}
    known: dict[str, Member] = {}
    for member in there:
        other = known.setdefault(member.run_id, member)
        if other is not member and member.run_id in wanted:
            raise BadInput(
                f"{other.folder} and {member.folder} hold the same run: move the copy out of "
                f"{member.folder.parent}"
            )
    plan = Plan([], [], [], [], [], [], [])
    for entry in entries:
        member = known.get(entry.spec.run_id)
        budget = Budget(entry.spec.steps, entry.spec.max_minutes)  # that the suite now requires
        if member is None:
            plan.start.append(Start(entry, None, "new"))
        elif member.state == "running":
            plan.running.append(member)
        elif member.status and budget.spent(member.status):
            plan.done.append(member)
        elif member.state == "cancelled":
            plan.cancelled.append(member)
        elif any(event.event == "cleaned" for event in member.events):
            plan.cleaned.append(member)
        elif budget.steps < min(member.env_steps, member.steps):
            plan.beyond.append(member)
        else:
            plan.start.append(Start(entry, member, _why(member, entry)))
    mine = [member for member in there if suite in member.suites]
    plan.left.extend(member for member in mine if member.run_id not in wanted)
    return plan


def _why(member: Member, entry: Entry) -> Why:
    if member.state in (State.FAILED, State.STALE):
        return member.state.value
    if member.status is not None and member.status.state in ("finished", "out_of_time"):
        return "longer"
    return "continues" if member.env_steps else "waiting"
