"""Preview of a sweep command as text: runs, hours, memory, disk.

Hours come from rates measured in the results folder. Without any, they are estimated and marked by
"~": from the rates of other variants of the method, else for a GPU if the run's work was counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from benchmarks.methods import method
from benchmarks.runs.errors import as_bad_input
from benchmarks.suites.suite import Entry, Suite
from benchmarks.sweep import gpu_hours
from benchmarks.sweep.needs import Estimate, Needs
from benchmarks.sweep.plan import Plan, Start
from benchmarks.sweep.rates import Rates
from benchmarks.sweep.text import amount, columns
from benchmarks.training.progress import track

CARD = "H100"  # GPU of the estimates


def preview(
    suite: Suite,
    entries: Sequence[Entry],
    plan: Plan,
    rates: Rates,
    needs: dict[str, Needs],
    out: Path,
) -> list[str]:
    """Lines to print. `needs` has the needs of every run to start, by run id."""
    counts = ", ".join(f"{count} {kind}" for kind, count in plan.counts().items())
    title = f"suite {suite.name}: {len(entries)} runs ({counts or 'nothing to do'}) in {out}"
    lines = [title, *_table(plan.start, rates), ""]
    if plan.start:
        of_runs = [needs[start.entry.spec.run_id] for start in plan.start]
        lines += [
            *_time(plan.start, rates),
            f"memory: {amount(max(need.memory for need in of_runs))} for the largest run",
            f"disk: {amount(sum(need.disk for need in of_runs))} for these runs when they are done",
        ]
    lines += [
        f"cancelled (safedreamer retry brings it back): {member.folder.name}"
        for member in plan.cancelled
    ]
    lines += [
        f"cleaned, cannot be made longer (delete its folder to run it anew): {member.folder.name}"
        for member in plan.cleaned
    ]
    lines += [
        f"at {member.env_steps:,} of {member.steps:,} simulator steps, beyond those of the suite "
        f"(give it steps: {member.steps}, or choose another --out): {member.folder.name}"
        for member in plan.beyond
    ]
    lines += [
        f"no longer in the suite ({member.state}): {member.folder.name}" for member in plan.left
    ]
    return [*lines, *_warnings(plan.start)]


def needs_of(starts: Sequence[Start], estimate: Estimate) -> dict[str, Needs]:
    """Estimate needs by run id; runs that differ only by seed share an estimate.

    Raises BadInput naming a run whose method and task do not fit.
    """
    found: dict[Hashable, Needs] = {}
    needs = {}
    for start in track(starts, "needs of runs", len(starts)):
        spec = start.entry.spec
        alike = (spec.method, spec.task, spec.obs, spec.steps, spec.loop, spec.replay, spec.agent)
        if alike not in found:
            with as_bad_input(f"{spec.method} on {spec.task} ({spec.obs})"):
                found[alike] = estimate(spec)
        needs[spec.run_id] = found[alike]
    return needs


def _warnings(starts: Sequence[Start]) -> list[str]:
    """Warnings of methods about these runs, each once for all seeds and tasks."""
    specs = [start.entry.spec for start in starts]
    found = (text for spec in specs for text in method(spec.method).warnings(spec))
    return [f"warning: {text}" for text in dict.fromkeys(found)]


def _table(starts: Sequence[Start], rates: Rates) -> list[str]:
    """One line for all runs that differ only by seed."""
    groups: dict[tuple[str, ...], list[Start]] = defaultdict(list)
    for start in starts:
        spec = start.entry.spec
        groups[(start.entry.label, spec.task, spec.obs, f"{spec.steps:,}")].append(start)
    rows = []
    for kind, members in groups.items():
        seeds = " ".join(str(start.entry.spec.seed) for start in members)
        counts = Counter(start.why for start in members)
        why = ", ".join(f"{count} {name}" for name, count in counts.items())
        rows.append((*kind, seeds, why, _hours(members, rates)))
    header = ("method", "task", "obs", "steps", "seeds", "to start", "hours")
    return columns(header, rows) if rows else []


def _measured(start: Start, rates: Rates) -> float | None:
    return rates.hours(start.entry, start.env_steps)


def _of_other_variants(start: Start, rates: Rates) -> float | None:
    return rates.hours(start.entry, start.env_steps, any_variant=True)


def _estimated(start: Start, rates: Rates) -> float | None:
    return gpu_hours.hours(start.entry.spec, start.env_steps, CARD)


def _hours(starts: Sequence[Start], rates: Rates) -> str:
    """Hours of runs that differ only by seed: measured, else estimated and marked."""
    for mark, of in (("", _measured), ("~", _of_other_variants), ("~", _estimated)):
        hours = [of(start, rates) for start in starts]
        if known := [value for value in hours if value is not None]:
            return f"{mark}{sum(known):.1f}" if len(known) == len(hours) else "unknown"
    return "unknown"


def _time(starts: Sequence[Start], rates: Rates) -> Iterator[str]:
    known, left = _split(starts, rates, _measured)
    like, left = _split(left, rates, _of_other_variants)
    parts = []
    if known:
        parts.append(f"{sum(known):.1f} hours of runs, one after another")
    if like:
        parts.append(
            f"~ {sum(like):.1f} hours of {len(like)} runs, at the rates of other variants of "
            "their methods"
        )
    if left:
        parts.append(
            f"{len(left)} of {len(starts)} runs have no measured rate of their kind in this folder "
            "yet"
        )
    yield "time: " + "; ".join(parts if known or like else ["unknown", *parts])
    guesses, _ = _split(left, rates, _estimated)
    if guesses:
        yield (
            f"~ {sum(guesses):.0f} GPU-hours for {len(guesses)} of these, estimated for one NVIDIA "
            f"{CARD} per run: operations counted, rates measured on an H200, nothing else "
            "(docs/howto/accelerator.md)"
        )


def _split(
    starts: Sequence[Start], rates: Rates, of: Callable[[Start, Rates], float | None]
) -> tuple[list[float], list[Start]]:
    """The hours that `of` knows, and the runs for which it knows none."""
    hours = [(start, of(start, rates)) for start in starts]
    return [value for _, value in hours if value is not None], [
        start for start, value in hours if value is None
    ]
