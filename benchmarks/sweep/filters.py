"""Filters that select the runs of a command.

`method=osrp*`, `task=*Goal*`, `!seed=0`, or a run id or folder name. All must match.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import choose
from benchmarks.sweep.members import Member

if TYPE_CHECKING:
    from benchmarks.suites.suite import Entry  # imports JAX

Run = TypeVar("Run")
Fields = Mapping[str, Callable[[Run], tuple[str, ...]]]

OF_SPEC = ("method", "task", "obs", "seed", "preset")
FIELDS: Fields[Member] = {
    "id": lambda m: (m.run_id,),
    "name": lambda m: (m.folder.name,),
    **{name: lambda m, name=name: (str(m.spec[name]),) for name in OF_SPEC},
    "variant": lambda m: (m.variant,),
    "suite": lambda m: m.suites,
    "tag": lambda m: m.tags,
    "state": lambda m: (m.state,),
}
ENTRY_FIELDS: Fields[Entry] = {  # of a run that may not exist yet
    "id": lambda e: (e.spec.run_id,),
    "name": lambda e: (e.folder_name,),
    **{name: lambda e, name=name: (str(getattr(e.spec, name)),) for name in OF_SPEC},
    "variant": lambda e: (e.variant,),
}


def select(found: Iterable[Member], filters: Sequence[str]) -> list[Member]:
    """The runs that match all filters. Raises BadInput for an unknown field or no match."""
    return _select(found, filters, FIELDS)


def select_entries(entries: Iterable[Entry], filters: Sequence[str]) -> list[Entry]:
    """The same for runs of a suite."""
    return _select(entries, filters, ENTRY_FIELDS)


def _select(found: Iterable[Run], filters: Sequence[str], fields: Fields[Run]) -> list[Run]:
    tests = [_test(text, fields) for text in filters]
    kept = [run for run in found if all(test(run) for test in tests)]
    if not kept:
        raise BadInput(f"no run matches {' '.join(filters)}" if filters else "there are no runs")
    return kept


def _test(text: str, fields: Fields[Run]) -> Callable[[Run], bool]:
    negated, plain = text.startswith("!"), text.removeprefix("!")
    field, equals, pattern = plain.partition("=")
    if equals and field.isidentifier():
        values = fields[choose("field to filter by", field, fields)]
        return lambda run: (
            any(fnmatch.fnmatchcase(value, pattern) for value in values(run)) != negated
        )
    if not plain:
        raise BadInput("an empty filter; write FIELD=PATTERN, or a run id")

    def named(run: Run) -> bool:
        (run_id,), (name,) = fields["id"](run), fields["name"](run)
        return (run_id.startswith(plain) or fnmatch.fnmatchcase(name, plain)) != negated

    return named
