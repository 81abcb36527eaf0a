"""Which runs a command is about: `method=osrp*`, `task=*Goal*`, `!seed=0`, or a run id or folder name. All have to hold."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.spec import BadInput, choose
from benchmarks.sweep.members import Member

FIELDS: Mapping[str, Callable[[Member], tuple[str, ...]]] = {
    "id": lambda m: (m.run_id,),
    "name": lambda m: (m.folder.name,),
    "method": lambda m: (m.spec["method"],),
    "task": lambda m: (m.spec["task"],),
    "obs": lambda m: (m.spec["obs"],),
    "seed": lambda m: (str(m.spec["seed"]),),
    "preset": lambda m: (m.spec["preset"],),
    "variant": lambda m: (m.variant,),
    "suite": lambda m: m.suites,
    "tag": lambda m: m.tags,
    "state": lambda m: (m.standing,),
}


def select(found: Iterable[Member], filters: Sequence[str]) -> list[Member]:
    """Those that every filter keeps. Raises BadInput for an unknown field, and when nothing is left."""
    tests = [_test(text) for text in filters]
    kept = [member for member in found if all(test(member) for test in tests)]
    if not kept:
        raise BadInput(f"no run matches {' '.join(filters)}" if filters else "there are no runs")
    return kept


def _test(text: str) -> Callable[[Member], bool]:
    negated, plain = text.startswith("!"), text.removeprefix("!")
    if "=" in plain and (field := plain.split("=", 1)[0]).isidentifier():
        values, pattern = FIELDS[choose("field to filter by", field, FIELDS)], plain.split("=", 1)[1]
        return lambda m: any(fnmatch.fnmatchcase(value, pattern) for value in values(m)) != negated
    if not plain:
        raise BadInput("an empty filter; write FIELD=PATTERN, or a run id")
    return lambda m: (m.run_id.startswith(plain) or fnmatch.fnmatchcase(m.folder.name, plain)) != negated
