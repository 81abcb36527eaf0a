"""Tables of a sweep's progress: runs that differ only by seed share a line."""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.records import EVAL, read_whole_rows
from benchmarks.sweep.members import Member, State
from benchmarks.sweep.text import NONE, duration, fitted

Group = tuple[str, str, str]  # method with variant, task, observation


class Reached(NamedTuple):
    """An evaluation: means over its episodes, after `env_steps` of training."""

    env_steps: int
    return_: float
    cost: float


def evaluations(folder: str | os.PathLike[str]) -> list[Reached]:
    """Return all evaluations of a run, by steps; none without records.

    An incomplete last row is skipped.

    Raises BadInput for a file with other contents, DamagedFile, with the line, for damaged rows.
    """
    folder = Path(folder)
    episodes: dict[int, list[tuple[float, float]]] = {}
    file = folder / RECORDS_FILE
    if not file.exists() or (file.is_file() and not file.stat().st_size):
        return []
    for row in read_whole_rows(file):
        if row.split == EVAL:
            episodes.setdefault(row.env_steps, []).append((row.return_, row.cost))
    return [
        Reached(steps, statistics.fmean(r for r, _ in found), statistics.fmean(c for _, c in found))
        for steps, found in sorted(episodes.items())
    ]


def groups(members: Iterable[Member]) -> dict[Group, list[Member]]:
    """Group members that differ only by seed."""
    found: dict[Group, list[Member]] = defaultdict(list)
    for member in members:
        found[(member.label, member.spec["task"], member.spec["obs"])].append(member)
    return found


def overview(members: Sequence[Member], width: int | None = None) -> list[str]:
    """Table of counts, progress, steps per second, time left, and means over seeds of the last
    return and cost, in lines of `width` characters.
    """
    now = datetime.now(UTC)
    header = ("method", "task", "obs", *State, "progress", "steps/s", "left", "return", "cost")
    rows = []
    for kind, runs in groups(members).items():
        counts = Counter(run.state for run in runs)
        running = [run.status for run in runs if run.state == "running" and run.status]
        rates = [status.env_steps_per_second for status in running]
        rows.append(
            (
                *kind,
                *(str(counts[name] or NONE) for name in State),
                f"{_progress(runs):.0%}",
                f"{sum(rates):.0f}" if rates else NONE,
                left(runs, now),
                *_return_cost(runs),
            )
        )
    timed = sum(member.shown != member.state for member in members)
    summary = counted(members, f" ({timed} by time)" if timed else "")
    end = f"{summary}; {_progress(members):.0%} of all steps"
    return [*fitted(header, rows, width), "", end]


def counted(members: Sequence[Member], of_done: str = "") -> str:
    """Number of runs, in total and by state; `of_done` is appended to the number of done runs."""
    counts, notes = Counter(member.state for member in members), {State.DONE: of_done}
    states = (f"{counts[name]} {name}{notes.get(name, '')}" for name in State if counts[name])
    return f"{len(members)} runs: {', '.join(states)}"


def each(members: Iterable[Member], width: int | None = None) -> list[str]:
    """One line for each run."""
    rows = []
    for m in members:
        status = m.status if m.state == "running" else None
        rate = f"{status.env_steps_per_second:.0f}" if status else NONE
        progress = (m.run_id, m.shown, f"{m.env_steps:,}", f"{m.steps:,}", rate)
        rows.append((*progress, *_return_cost([m]), m.folder.name))
    header = ("id", "state", "at step", "of", "steps/s", "return", "cost", "run")
    return fitted(header, rows, width)


def failures(members: Iterable[Member], width: int | None = None) -> list[str]:
    """Runs that failed, are stale or were cancelled, and why."""
    rows = [
        (m.run_id, m.state, m.folder.name, " ".join(m.reason().split()) or NONE)
        for m in members
        if m.state in ("failed", "stale", "cancelled")
    ]
    if not rows:
        return ["no run failed, is stale or was cancelled"]
    return fitted(("id", "state", "run", "reason"), rows, width)


def compared(
    members: Sequence[Member],
    known: Mapping[Path, Sequence[Reached]],
    width: int | None = None,
) -> list[str]:
    """Table of evaluations at the step that all runs have reached.

    Runs without an evaluation are listed, because the means do not include them. `known` holds the
    evaluations of each run, by folder.
    """
    able = [member for member in members if known[member.folder]]
    notes = [
        f"no evaluation yet, left out: {member.folder.name} ({member.state})"
        for member in members
        if not known[member.folder]
    ]
    if not able:
        return notes
    common = min(known[member.folder][-1].env_steps for member in able)
    rows = []
    for kind, runs in groups(able).items():
        before = ([at for at in known[run.folder] if at.env_steps <= common] for run in runs)
        found = [evaluations[-1] for evaluations in before if evaluations]
        if not found:
            rows.append((*kind, "0", NONE, NONE, NONE))
            continue
        steps = [at.env_steps for at in found]
        rows.append(
            (
                *kind,
                str(len(found)),
                " to ".join(f"{step:,}" for step in sorted({min(steps), max(steps)})),
                f"{statistics.fmean(at.return_ for at in found):.2f}",
                f"{statistics.fmean(at.cost for at in found):.2f}",
            )
        )
    title = f"last evaluations up to {common:,} simulator steps, which every run below has reached"
    header = ("method", "task", "obs", "runs", "at step", "return", "cost")
    return [title, *fitted(header, rows, width), *notes]


def _progress(runs: Sequence[Member]) -> float:
    return sum(min(run.env_steps, run.steps) for run in runs) / sum(run.steps for run in runs)


def left(runs: Sequence[Member], now: datetime) -> str:
    """Time until the last of the running runs ends."""
    ends = [run.status.estimated_end for run in runs if run.state == "running" and run.status]
    times = [datetime.fromisoformat(end) for end in ends if end]
    return duration(max(0.0, (max(times) - now).total_seconds())) if times else NONE


def _return_cost(runs: Sequence[Member]) -> tuple[str, str]:
    """Mean return and cost of the last evaluations; of training where there is none yet."""
    found = [run.status for run in runs if run.status]
    return (
        _mean(s.eval_return if s.eval_return is not None else s.train_return for s in found),
        _mean(s.eval_cost if s.eval_cost is not None else s.train_cost for s in found),
    )


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.2f}" if known else NONE
