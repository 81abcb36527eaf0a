"""`safedreamer completion SHELL`: a script that completes commands, options and their values.

The script lists all names; generate it again after an upgrade.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import tyro

from benchmarks.cli.common import parse
from benchmarks.runs.spec import OBSERVATIONS, PRESETS

PROG = "safedreamer completion"


@dataclasses.dataclass(frozen=True)
class CompletionArgs:
    """Print a script that completes commands, options and names. To use it: bash: add
    `source <(safedreamer completion bash)` to ~/.bashrc; zsh: the same in ~/.zshrc, after compinit;
    fish: `safedreamer completion fish > ~/.config/fish/completions/safedreamer.fish`.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
    """The shell."""


def main(args: Sequence[str]) -> int:
    """Print the script; returns 0."""
    from benchmarks.cli import app

    chosen = parse(CompletionArgs, args, PROG)
    options = {name: _options(name) for name in app.COMMANDS if name != "completion"}
    options["completion"] = []
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[chosen.shell](options, _values()), end="")
    return 0


def _options(command: str) -> list[str]:
    """The options of a command, as its help lists them."""
    from benchmarks.cli import analysis, app

    if command in analysis.COMMANDS:
        words = [sys.executable, "-m", "analysis", command, "--help"]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    else:
        page = io.StringIO()
        with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
            app.main([command, "--help-all"])
        text = page.getvalue()
    found = re.findall(r"^ +(?:-h, )?(--[a-z][\w.-]*)", text, re.MULTILINE)
    return list(dict.fromkeys([*found, "--help"]))


def _values() -> dict[str, list[str]]:
    """Options whose values are names -> the names."""
    from benchmarks.methods import METHODS, own
    from benchmarks.suites.reading import builtin_names
    from benchmarks.tasks import tasks

    return {
        "--method": [*METHODS, *own.installed()],
        "--task": list(tasks()),
        "--obs": list(OBSERVATIONS),
        "--preset": list(PRESETS),
        "--suite": builtin_names(),
    }


def _bash(options: Mapping[str, Sequence[str]], values: Mapping[str, Sequence[str]]) -> str:

    def cases(of: Mapping[str, Sequence[str]], indent: str) -> str:
        quoted = {name: shlex.quote(" ".join(words)) for name, words in of.items()}
        return "".join(f"{indent}{name}) words={words} ;;\n" for name, words in quoted.items())

    return f"""_safedreamer() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {shlex.quote(" ".join(options))} -- "$current"))
    return
  fi
  case "$previous" in
{cases(values, "    ")}  esac
  if [ -z "$words" ] && [[ $current == -* ]]; then
    case "${{COMP_WORDS[1]}}" in
{cases(options, "      ")}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _safedreamer safedreamer
"""


def _zsh(options: Mapping[str, Sequence[str]], values: Mapping[str, Sequence[str]]) -> str:
    return f"autoload -U +X bashcompinit && bashcompinit\n{_bash(options, values)}"


def _fish(options: Mapping[str, Sequence[str]], values: Mapping[str, Sequence[str]]) -> str:
    from benchmarks.cli import app

    lines = [
        f"complete -c safedreamer -f -n __fish_use_subcommand -a {c} -d {shlex.quote(about)}"
        for c, about in app.COMMANDS.items()
    ]
    for command, names in options.items():
        for name in names:
            seen = f"'__fish_seen_subcommand_from {command}'"
            line = f"complete -c safedreamer -n {seen} -l {name[2:]}"
            if name in values:
                line += f" -x -a {shlex.quote(' '.join(values[name]))}"
            lines.append(line)
    return "\n".join(lines) + "\n"
