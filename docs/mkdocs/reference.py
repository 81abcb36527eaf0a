"""Tables of the reference, generated from the code.

A line `<!-- generated: NAME -->` of a page stands for `TABLES[NAME]()` (here, or in speed.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NoReturn
from unittest import mock

_MARKER = re.compile(r"^<!-- generated: (\S+) -->$", re.MULTILINE)
_REQUIRED = "required"


def filled(markdown: str, more: Mapping[str, Callable[[], str]] | None = None) -> str:
    """The page with its markers replaced; KeyError for a marker that no table has.

    `more` are tables beside those of this file.
    """
    tables = {**TABLES, **(more or {})}
    return _MARKER.sub(lambda marker: tables[marker[1]](), markdown)


class _Captured(Exception):
    """The arguments of a command's `parse`, instead of a run of the command."""


def command_line(command: str, arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of `safedreamer COMMAND`; for `train`, with the defaults of `arguments`."""
    from benchmarks.cli import analysis, app

    if command in analysis.COMMANDS:
        return importlib.import_module("analysis.commands.main").parser(command)
    name = app.ELSEWHERE.get(command, f"benchmarks.cli.{command}")
    module = importlib.import_module(name)

    def capture(cls: Any, _: Any, *others: Any, guide: Any = None) -> NoReturn:
        raise _Captured(cls, *others)

    try:
        with mock.patch.object(module, "parse", capture):
            module.main(list(arguments))
    except _Captured as captured:
        return _tyro_parser(*captured.args)
    raise AssertionError(f"{name} does not parse its arguments by benchmarks.cli.common.parse")


def _tyro_parser(
    cls: Any, prog: str, description: str = "", default: Any = None
) -> argparse.ArgumentParser:
    from benchmarks.cli.common import parser_of

    extra = {} if default is None else {"default": default}
    return parser_of(cls, prog, description, **extra)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join(_cell(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def options(parser: argparse.ArgumentParser) -> str:
    """Every argument of a command: spelling, default, meaning."""
    from benchmarks.process.help import options as options_of

    rows = [
        (f"`{o.name} {o.value}`".replace(" `", "`"), _default(o), o.text)
        for o in options_of(parser)
    ]
    if not rows:
        return "No options."
    return table(("option", "default", "meaning"), rows)


def _default(option: Any) -> str:
    if option.required:
        return _REQUIRED
    return f"`{option.default}`" if option.default else ""


def commands() -> str:
    """A section for each command."""
    from benchmarks.cli import app

    parts = []
    for name, summary in app.COMMANDS.items():
        parser = command_line(name)
        text = f"{summary[0].upper()}{summary[1:]}."
        parts.append(f"## {name}\n\n{text}\n\n{options(parser)}")
    return "\n\n".join(parts)


def methods() -> str:
    """A row for each method."""
    from benchmarks.methods import METHODS

    rows = (
        (f"`{m.name}`", m.kind, f"{m.summary} ({m.paper})", m.constrains, m.action_repeat or "task")
        for m in METHODS.values()
    )
    return table(("method", "kind", "what it is", "constrains", "repeat"), rows)


def defaults() -> str:
    """Observations of each method, and its cost limit and action repeat under each preset; methods
    with the same ones share a row.
    """
    from benchmarks.methods import METHODS

    columns = tuple(dict.fromkeys(preset for m in METHODS.values() for preset in m.presets))
    rows: dict[tuple[str, ...], list[str]] = {}
    for method in METHODS.values():
        cells = (_limit_and_repeat(method, p) if p in method.presets else "–" for p in columns)
        rows.setdefault((", ".join(method.observations), *cells), []).append(f"`{method.name}`")
    head = ("methods", "observations", *(f"`{preset}`" for preset in columns))
    return table(head, ((", ".join(names), *cells) for cells, names in rows.items()))


def _limit_and_repeat(method: Any, preset: str) -> str:
    """`2 / 5`, by observation if it differs between them, several numbers if tasks decide."""
    from benchmarks.methods import settings
    from benchmarks.runs.errors import BadInput
    from benchmarks.tasks import tasks

    found: dict[str, list[str]] = {}
    for obs in method.observations:
        try:
            chosen = [settings(method.name, obs, preset, task=task) for task in tasks()]
        except BadInput:
            if method.engine == "jax":
                raise
            return "needs `make omnisafe`"  # OmniSafe has the defaults of its methods
        limits = sorted({getattr(c.agent, "cost_limit", math.inf) for c in chosen})
        repeats = sorted({c.loop.action_repeat for c in chosen})
        limit = " or ".join("none" if v == math.inf else f"{v:g}" for v in limits)
        found.setdefault(f"{limit} / {' or '.join(map(str, repeats))}", []).append(obs)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{', '.join(of)}: {text}" for text, of in found.items())


def presets() -> str:
    """Settings that a preset changes: of SafeDreamer's methods by preset and observation, of the
    baselines in JAX by preset.
    """
    from benchmarks.methods import METHODS

    jax = [method for method in METHODS.values() if method.engine == "jax"]
    family = [method for method in jax if method.family == "safedreamer"]
    parts = [
        (f"{preset}, {obs}", [(method.name, (method.name, obs, preset)) for method in family])
        for preset in family[0].presets
        for obs in ("vision", "coordinates")
    ]
    parts += [
        (m.name, [(preset, (m.name, "coordinates", preset)) for preset in m.presets])
        for m in jax
        if m not in family
    ]
    return "\n\n".join(f"### {title}\n\n{_changes(columns)}" for title, columns in parts)


def _changes(columns: Sequence[tuple[str, tuple[str, str, str]]]) -> str:
    """The settings, one a row, that differ from their defaults in any column; a column is a heading
    and method, observation and preset.
    """
    from benchmarks.methods import settings
    from benchmarks.runs.spec import LoopConfig, ReplayConfig

    chosen = {heading: settings(*which) for heading, which in columns}
    agent_type = type(next(iter(chosen.values())).agent)
    plain = _flat(agent_type(), LoopConfig(), ReplayConfig())
    flat = {name: _flat(c.agent, c.loop, c.replay) for name, c in chosen.items()}
    rows = [
        (f"`{setting}`", default, *(values[setting] for values in flat.values()))
        for setting, default in plain.items()
        if any(values[setting] != default for values in flat.values())
    ]
    return table(("setting", "default", *(f"`{heading}`" for heading in flat)), rows)


def _flat(agent: Any, loop: Any, replay: Any) -> dict[str, Any]:
    from benchmarks.runs.identity import flatten

    parts = {"loop": dataclasses.asdict(loop), "replay": dataclasses.asdict(replay)}
    return flatten({**parts, **dataclasses.asdict(agent)})


def suites() -> str:
    """A section for each built-in suite: what it compares, its size, and its file."""
    from benchmarks.suites.reading import builtin, load

    parts = []
    for name, about in builtin().items():
        runs = sum(
            len(block.methods) * len(block.tasks) * len(block.variants) * len(block.seeds)
            for block in load(name).blocks
        )
        text = resources.files("benchmarks.suites").joinpath(f"{name}.yaml").read_text("utf-8")
        summary = f"{about[0].upper()}{about[1:]} ({runs} runs)."
        parts.append(f"## {name}\n\n{summary}\n\n```yaml\n{text.strip()}\n```")
    return "\n\n".join(parts)


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "defaults": defaults,
    "methods": methods,
    "presets": presets,
    "suites": suites,
}
