"""Tables of the reference, generated from the code.

A line `<!-- generated: NAME -->` of a page stands for `TABLES[NAME]()`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NoReturn
from unittest import mock

_MARKER = re.compile(r"^<!-- generated: (\S+) -->$", re.MULTILINE)
_REQUIRED = "required"


def filled(markdown: str) -> str:
    """The page with its markers replaced; KeyError for a marker that no table has."""
    return _MARKER.sub(lambda marker: TABLES[marker[1]](), markdown)


class _Captured(Exception):
    """The arguments of a command's `parse`, instead of a run of the command."""


def command_line(command: str, arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of `safedreamer COMMAND`; for `train`, with the defaults of `arguments`."""
    from benchmarks.cli import app

    if command in _ANALYSIS:
        module, subcommand = _ANALYSIS[command]
        parser = importlib.import_module(module).parser()
        return _subparser(parser, subcommand) if subcommand else parser
    name = app.ELSEWHERE.get(command, f"benchmarks.cli.{command}")
    module = importlib.import_module(name)

    def capture(cls: Any, _: Any, *others: Any) -> NoReturn:
        raise _Captured(cls, *others)

    try:
        with mock.patch.object(module, "parse", capture):
            module.main(list(arguments))
    except _Captured as captured:
        return _tyro_parser(*captured.args)
    raise AssertionError(f"{name} does not parse its arguments by benchmarks.cli.common.parse")


# Commands that run the analysis in a process of its own: module and subcommand.
_ANALYSIS = {
    "plot": ("analysis.__main__", ""),
    "figures": ("analysis.commands.figures", "figures"),
    "report": ("analysis.commands.figures", "report"),
    "tables": ("analysis.commands.tables", ""),
    "compare": ("analysis.commands.compare", ""),
}


def _subparser(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return actions[0].choices[name]


def _tyro_parser(
    cls: Any, prog: str, description: str = "", default: Any = None
) -> argparse.ArgumentParser:
    import tyro

    from benchmarks.cli.common import REGISTRY

    extra = {} if default is None else {"default": default}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return tyro.extras.get_parser(
            cls, prog=prog, description=description, registry=REGISTRY, **extra
        )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join(_cell(cell) for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def options(parser: argparse.ArgumentParser) -> str:
    """Every argument of a command: spelling, default, meaning."""
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        meaning, default = _explained(action)
        spelling = action.option_strings[0] if action.option_strings else _metavar(action)
        value = _metavar(action) if action.option_strings and action.nargs != 0 else ""
        rows.append((f"`{spelling} {value}`".replace(" `", "`"), default, meaning))
    if not rows:
        return "No options."
    return table(("option", "default", "meaning"), rows)


def _metavar(action: argparse.Action) -> str:
    shown = action.metavar or action.dest.upper()
    if action.choices and not action.metavar:
        shown = "{" + ",".join(map(str, action.choices)) + "}"
    return re.sub(r"[\[\] ]|\.\.\.", "", str(shown[0] if isinstance(shown, tuple) else shown))


def _explained(action: argparse.Action) -> tuple[str, str]:
    """Help text and default, which stands at its end in brackets."""
    text = " ".join((action.help or "").replace("%%", "%").split())
    found = re.search(r" ?\((?:default: ([^()]*(?:\([^()]*\))?[^()]*)|required)\)$", text)
    if not found:
        required = action.required or not action.option_strings
        return text, _REQUIRED if required else ""
    default = found[1]
    if default is None:
        return text[: found.start()], _REQUIRED
    return text[: found.start()], f"`{default}`" if default.strip() else ""


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
        (
            f"`{m.name}`",
            m.kind,
            m.summary,
            m.constrains,
            m.action_repeat or "by task",
            ", ".join(f"`{preset}`" for preset in m.presets),
            m.paper,
        )
        for m in METHODS.values()
    )
    header = ("method", "kind", "what it is", "constrains", "action repeat", "presets", "paper")
    return table(header, rows)


def presets() -> str:
    """For each preset of the SafeDreamer family the settings that differ from the defaults."""
    from agents.safedreamer.config import SafeDreamerConfig
    from agents.safedreamer.presets import METHODS, PRESETS
    from benchmarks.methods import settings
    from benchmarks.runs.spec import LoopConfig, ReplayConfig, flatten

    plain = _flat(flatten, SafeDreamerConfig(), LoopConfig(), ReplayConfig())
    parts = []
    for preset in PRESETS:
        for obs in ("vision", "coordinates"):
            columns = {}
            for method in METHODS:
                chosen = settings(method, obs, preset)
                columns[method] = _flat(flatten, chosen.agent, chosen.loop, chosen.replay)
            shown = [n for n in plain if any(c[n] != plain[n] for c in columns.values())]
            rows = [(f"`{n}`", plain[n], *(columns[m][n] for m in METHODS)) for n in shown]
            header = ("setting", "default", *(f"`{m}`" for m in METHODS))
            parts.append(f"### {preset}, {obs}\n\n{table(header, rows)}")
    return "\n\n".join(parts)


def _flat(flatten: Callable[..., Mapping[str, Any]], agent: Any, loop: Any, replay: Any) -> dict:
    parts = {"loop": dataclasses.asdict(loop), "replay": dataclasses.asdict(replay)}
    return dict(flatten({**parts, **dataclasses.asdict(agent)}))


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
    "methods": methods,
    "presets": presets,
    "suites": suites,
}
