"""Live view of a sweep on a terminal: its running runs, the time left, and its failures.

Pure: members in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.sweep.members import Member, State
from benchmarks.sweep.overview import counted, left
from benchmarks.sweep.text import NONE, duration, fitted

FAILURES = 5  # shown with their reasons


def live(members: Sequence[Member], width: int) -> list[str]:
    """A line for each running run, the last failures, and a summary, each cut to `width`."""
    now = datetime.now(UTC)
    running = [member for member in members if member.state == State.RUNNING]
    rows = []
    for member in running:
        spec, rate = member.spec, member.status.env_steps_per_second if member.status else 0.0
        rows.append(
            (
                *(member.label, f"{spec['task']} ({spec['obs']})", str(spec["seed"])),
                f"{member.env_steps / member.steps:.0%}",
                f"{rate:.0f}" if rate > 0 else NONE,
                left([member], now),
                _evaluation(member),
            )
        )
    header = ("running", "task", "seed", "done", "steps/s", "left", "return at cost")
    lines = fitted(header, rows, width) if rows else []
    failed = [member for member in members if member.state in (State.FAILED, State.STALE)]
    for member in failed[-FAILURES:]:
        reason = " ".join(member.reason().split())
        lines.append(f"{member.state}: {member.folder.name}: {reason}"[:width])
    return [*lines, summary(members, running)[:width]]


def summary(members: Sequence[Member], running: Sequence[Member]) -> str:
    """Counts of states, and the time left at the present speed of the running runs."""
    open_ = [m for m in members if m.state in (State.RUNNING, State.WAITING)]
    missing = sum(max(0, member.steps - member.env_steps) for member in open_)
    speed = sum(m.status.env_steps_per_second for m in running if m.status)
    ahead = f", about {duration(missing / speed)} left" if speed > 0 else ""
    return f"{counted(members)}{ahead}"


def _evaluation(member: Member) -> str:
    status = member.status
    if status is None or status.eval_return is None or status.eval_cost is None:
        return NONE
    return f"{status.eval_return:.2f} at {status.eval_cost:.2f}"
