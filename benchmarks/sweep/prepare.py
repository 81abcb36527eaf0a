"""Write the folders of a plan's runs before anything is started.

After that, an executor needs only the results folder.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.runs import attempts
from benchmarks.runs.files import SWEEP_FILE
from benchmarks.runs.reading import read_object
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.spec_file import starts_of, write_spec
from benchmarks.runs.writing import replace_text
from benchmarks.suites.suite import Suite
from benchmarks.sweep.members import RUNS
from benchmarks.sweep.plan import Plan


def still_wanted(plan: Plan) -> Plan:
    """Return the plan without runs that were cancelled since it was made.

    Memory estimates between planning and starting take seconds.
    """
    start = [
        each
        for each in plan.start
        if each.member is None or not attempts.is_cancelled(each.member.folder)
    ]
    return plan._replace(start=start)


def prepare(out: Path, suite: Suite, plan: Plan, code: str = "") -> list[Path]:
    """Write the folders of the runs to start, with the new budget of those that are extended.

    Returns the folders in order.

    `code` is the hash of the code snapshot. Running and finished runs are also marked as part of
    this suite.
    """
    folders = []
    for start in plan.start:
        folder = start.member.folder if start.member else out / RUNS / start.entry.folder_name
        folder.mkdir(parents=True, exist_ok=True)
        _describe(folder, suite, start.entry.variant)
        freeze(folder, start.entry.spec)
        attempts.add(folder, "submitted", code=code)
        folders.append(folder)
    for member in (*plan.running, *plan.done):
        if suite.name not in member.suites:
            _describe(member.folder, suite, member.variant)
    return folders


def drop(plan: Plan, suite: str) -> list[Path]:
    """Remove the suite's name from runs that left it; cancel those that no other suite contains.

    Returns the cancelled ones. Finished runs are not cancelled.
    """
    cancelled = []
    for member in plan.left:
        others = [name for name in member.suites if name != suite]
        path = member.folder / SWEEP_FILE
        replace_text(path, json.dumps(read_object(path) | {"suites": others}, indent=2) + "\n")
        if not others and member.state not in ("done", "cancelled"):
            attempts.add(member.folder, "cancelled", reason=f"no longer in suite {suite}")
            cancelled.append(member.folder)
    return cancelled


def _describe(folder: Path, suite: Suite, variant: str) -> None:
    path = folder / SWEEP_FILE
    old = read_object(path) if path.exists() else {}
    suites = list(dict.fromkeys([*old.get("suites", ()), suite.name]))
    tags = list(dict.fromkeys([*old.get("tags", ()), *suite.tags]))
    new = {"suites": suites, "tags": tags, "variant": old.get("variant", variant)}
    replace_text(path, json.dumps(old | new, indent=2) + "\n")


def freeze(folder: Path, spec: RunSpec) -> None:
    """Write the run's spec.json, keeping recorded starts, including one by another command since
    the plan.
    """
    write_spec(folder, spec, starts_of(folder))
