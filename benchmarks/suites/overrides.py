"""Apply settings by name to a method's defaults, with the names of `safedreamer train`.

`cost_limit`, `planner.horizon`, ...

Values come from YAML, which reads `2e6` as text; they are converted to the field's type or refused,
never passed on unchecked.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from agents.settings import replaced
from benchmarks.methods import Settings
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.identity import flatten
from benchmarks.runs.plain_text import choose, whole_number
from benchmarks.runs.reading import is_a

PARTS = ("loop", "replay")  # parts of Settings with a prefix; the agent's settings have none


def names(settings: Settings) -> list[str]:
    """Names of all settings that can be overridden."""
    parts = {part: dataclasses.asdict(getattr(settings, part)) for part in PARTS}
    return list(flatten(dataclasses.asdict(settings.agent))) + list(flatten(parts))


def check(settings: Settings, name: str, value: Any) -> tuple[str, Any]:
    """Return the setting's name as in the configuration, and the value converted to its type.

    Raises BadInput, with similar names.
    """
    spelled = choose("setting", name.replace("-", "_"), names(settings))
    first, *rest = spelled.split(".")
    config, path = (
        (getattr(settings, first), rest) if first in PARTS else (settings.agent, [first, *rest])
    )
    for part in path[:-1]:
        config = getattr(config, part)
    return spelled, _convert(get_type_hints(type(config))[path[-1]], value, spelled)


def apply(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Return `settings` with checked values. Raises ValueError if they do not fit together."""
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, _, rest = name.partition(".")
        part, name = (part, rest) if part in PARTS else ("agent", name)
        parts.setdefault(part, {})[name] = value
    return settings._replace(
        **{part: replaced(getattr(settings, part), changes) for part, changes in parts.items()}
    )


def _convert(hint: Any, value: Any, name: str) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise BadInput(f"{name}={value!r} must be one of {', '.join(map(str, get_args(hint)))}")
        return value
    if get_origin(hint) in (Union, UnionType):
        kind = next(option for option in get_args(hint) if option is not NoneType)
        return None if value is None else _convert(kind, value, name)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_convert(get_args(hint)[0], item, name) for item in value)
    if hint in (bool, str) and is_a(value, hint):
        return value
    if hint in (int, float) and is_a(value, float | str):
        with as_bad_input(name, (ValueError, OverflowError)):
            number = whole_number(str(value)) if hint is int else float(value)
        if math.isfinite(number):
            return number
    raise BadInput(f"{name}={value!r} must be {_KINDS.get(hint, hint)}")


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
