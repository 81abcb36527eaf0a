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
    """The runs that match all filters.

    Raises BadInput for an unknown field, no match, or an exclusion that excludes nothing.
    """
    return _select(found, filters, FIELDS)


def select_entries(entries: Iterable[Entry], filters: Sequence[str]) -> list[Entry]:
    """The same for runs of a suite."""
    return _select(entries, filters, ENTRY_FIELDS)


def _select(found: Iterable[Run], filters: Sequence[str], fields: Fields[Run]) -> list[Run]:
    found = list(found)
    tests = {text: _test(text, fields) for text in filters}
    for text, test in tests.items():
        if text.startswith("!") and found and all(map(test, found)):
            raise BadInput(f"{text} excludes nothing: no run has {text[1:]}")
    kept = [run for run in found if all(test(run) for test in tests.values())]
    if not kept:
        raise BadInput(_no_match(filters) if filters else "there are no runs")
    return kept


def _no_match(filters: Sequence[str]) -> str:
    """Say that no run matches, and how to write alternatives if that is what was meant."""
    names = [text.partition("=")[0] for text in filters if "=" in text and text[0] != "!"]
    again = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    hint = "; all filters must match: write alternatives as a pattern, such as seed=[01]"
    return f"no run matches {' '.join(filters)}{hint if again else ''}"


def _test(text: str, fields: Fields[Run]) -> Callable[[Run], bool]:
    negated, plain = text.startswith("!"), text.removeprefix("!")
    field, equals, pattern = plain.partition("=")
    if equals:
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
