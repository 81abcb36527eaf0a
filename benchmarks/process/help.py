"""Help pages: one plain style for all commands, whichever library parses their options.

`--help` shows a command's options on one screen (for `train`, those that most runs need),
`--help planner` a group of settings by name, and `--help-all` everything.
"""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.process.options import HELP
from benchmarks.runs.plain_text import choose

INDENT = 29  # columns of an option's name
UNSAID = ("", "''", "None", "False")  # defaults that are not shown
AGENT = "agent"  # the group of settings without a prefix
RUN = "run"  # the group of a command's own options that the brief page omits


class Guide(NamedTuple):
    """The brief page of a command with many settings: the options `brief`, and examples.

    `rest` are its other options, the group RUN.
    """

    brief: Sequence[str]
    rest: Sequence[str]
    examples: Sequence[str]


class Option(NamedTuple):
    """One argument of a command; `default` is "" where there is none to show."""

    name: str
    value: str
    text: str
    default: str
    required: bool = False

    def group(self, guide: Guide) -> str:
        """The prefix of its name; without one, RUN or AGENT."""
        prefix = self.name[2:].rpartition(".")[0].partition(".")[0]
        return prefix or (RUN if self.name in guide.rest else AGENT)


def options(parser: argparse.ArgumentParser) -> list[Option]:
    """All arguments of the command except those for help, positional ones first."""
    found = [_option(action) for action in parser._actions if "--help" not in action.option_strings]
    return sorted(found, key=lambda option: option.name.startswith("--"))


def _option(action: argparse.Action) -> Option:
    shown = action.metavar or action.dest.upper()
    if action.choices and not action.metavar:
        shown = "{" + ",".join(map(str, action.choices)) + "}"
    value = shown[0] if isinstance(shown, tuple) else shown
    words = re.sub(r"[\[\]]|\.\.\.|\{None\}\|", " ", value).split()
    many = "..." in value or action.nargs in ("*", "+")
    value = " ".join(dict.fromkeys(words)) + (" ..." if many else "")
    text = " ".join((action.help or "").replace("%%", "%").split())
    default = re.search(r" ?\((?:default: ([^()]*(?:\([^()]*\))?[^()]*)|required)\)$", text)
    if default:
        text = text[: default.start()]
    shown_default = (default[1] or "").strip() if default else ""
    optional = action.nargs == "*" or not (action.required or not action.option_strings)
    required = default[1] is None if default else not optional
    if action.option_strings:
        name, value = action.option_strings[0], "" if action.nargs == 0 else value
    else:
        name = value if value.startswith("{") else action.dest.upper() + " ..." * many
        value = ""
    return Option(name, value, text, shown_default, required)


def page(
    parser: argparse.ArgumentParser, args: Sequence[str], prog: str, guide: Guide | None
) -> str:
    """Page for arguments that contain one of HELP. Raises BadInput for an unknown group."""
    width = max(60, min(100, shutil.get_terminal_size().columns))
    found = options(parser)
    arguments = [_in_usage(o) for o in found if o.required or o.name[:2] != "--"]
    usage = " ".join([prog, *arguments, "[OPTIONS]"])
    head = [f"usage: {usage}", ""]
    about = [*textwrap.wrap(parser.description or "", width), ""]
    if guide is None or "--help-all" in args:
        return "\n".join([*head, *about, *(["options:"] if found else []), *_full(found, width)])
    grouped = [(o.group(guide), o) for o in found if o.name not in guide.brief]
    groups = list(dict.fromkeys(name for name, _ in grouped))
    if named := _group(args, groups):
        members = [option for name, option in grouped if name == named]
        return "\n".join([*head, f"settings of {named}:", *_full(members, width)])
    brief = _full([_brief(o) for o in found if o.name in guide.brief], width)
    more = f"More settings, shown by `{prog} --help GROUP` (all by --help-all): "
    more_lines = textwrap.wrap(more + ", ".join(groups), width)
    examples = [f"  {prog} {example}" for example in guide.examples]
    return "\n".join([*head, *about, *brief, "", *more_lines, "", "examples:", *examples])


def _in_usage(option: Option) -> str:
    return f"{option.name} {option.value}".rstrip() if option.required else f"[{option.name}]"


def _group(args: Sequence[str], groups: Sequence[str]) -> str:
    """The group named after --help, "" for none."""
    words = [args[i + 1] for i, word in enumerate(args[:-1]) if word in HELP]
    named = [word for word in words if not word.startswith("-")]
    return choose("group of settings", named[0], groups) if named else ""


def _brief(option: Option) -> Option:
    """The option with the first sentence of its text."""
    sentence = re.split(r"[.;] ", f"{option.text} ")[0].removesuffix(".")
    return option._replace(text=sentence)


def _full(found: Sequence[Option], width: int) -> list[str]:
    lines = []
    for option in found:
        default = "" if option.default in UNSAID else f" (default: {option.default})"
        default = " (required)" if option.required and option.value else default
        text = textwrap.wrap(option.text + default, width - INDENT) or [""]
        name = f"  {option.name} {option.value}".rstrip()
        if len(name) >= INDENT:
            lines.append(name)
            name = ""
        lines += [f"{name:<{INDENT}}{text[0]}".rstrip(), *(f"{'':<{INDENT}}{t}" for t in text[1:])]
    return lines
