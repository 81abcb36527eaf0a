"""Command lines from frozen dataclasses.

Tyro, with one-line errors, integers such as `2e6`, and suggestions for unknown settings.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import io
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from benchmarks.process import help
from benchmarks.process.exits import explained
from benchmarks.process.options import HELP, check_once
from benchmarks.process.stdout import going_on
from benchmarks.runs.errors import BadInput
from benchmarks.runs.identity import flatten
from benchmarks.runs.places import possible_path
from benchmarks.runs.plain_text import whole_number
from benchmarks.runs.ranges import check_numbers, of_own_method

T = TypeVar("T")
REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def _integers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda texts: whole_number(texts[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


def parser_of(cls: Any, prog: str, description: str = "", **extra: Any) -> argparse.ArgumentParser:
    """The argument parser of a dataclass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser: Any = tyro.extras.get_parser(
            cls, prog=prog, description=description, registry=REGISTRY, **extra
        )
    return parser


def parse(
    cls: type[T],
    args: Sequence[str],
    prog: str,
    description: str | None = None,
    default: T | None = None,
    guide: help.Guide | None = None,
) -> T:
    """Parse the command line into the dataclass; prints help and exits 0 for --help.

    The description defaults to the dataclass's docstring. `guide` selects what --help shows of a
    command with many settings.

    Raises BadInput, in one line, for an unknown setting (with similar names) or an invalid value.
    """
    extra: dict[str, Any] = {} if default is None else {"default": default}
    if description is None:
        description = " ".join((cls.__doc__ or "").split())
    if set(HELP) & set(args):
        print(help.page(parser_of(cls, prog, description, **extra), args, prog, guide), flush=True)
        raise SystemExit(0)
    value, unknown = _quietly(cls, args, prog=prog, return_unknown_args=True, **extra)
    if unknown:
        known = [name for name in option_names(cls, prog, extra) if name != "--help"]
        raise BadInput(_explain_unknown(unknown[0], known, prog))
    check_once(args)
    _check_not_empty(value, args)
    values = flatten(dataclasses.asdict(value))
    agent = {name: values.pop(name) for name in list(values) if name.startswith("agent.")}
    check_numbers({name.removeprefix("run."): values[name] for name in values})
    own = of_own_method(getattr(value, "agent", None))
    check_numbers({name.removeprefix("agent."): agent[name] for name in agent}, own)
    return _with_user_paths(value)


def _check_not_empty(value: Any, args: Sequence[str]) -> None:
    """Raise BadInput for a list given without values, as by an unset variable of a shell.

    It would be taken for the option's absence: `sweep --only $FILTER` would start every run.
    """
    for field in dataclasses.fields(value):
        option = f"--{field.name.replace('_', '-')}"
        if field.default == () == getattr(value, field.name) and option in args:
            raise BadInput(f"{option} has no value; give at least one, or leave the option out")


def parse_known(cls: type[T], args: Sequence[str], prog: str) -> T:
    """Like `parse`, but ignores --help and settings that `cls` lacks, for a later stage."""
    value, _ = _quietly(cls, args, prog=prog, add_help=False, return_unknown_args=True)
    return _with_user_paths(value)


def program(
    cls: type[T],
    main: Callable[[T], int],
    prog: str,
    description: str | None = None,
    args: Sequence[str] | None = None,
) -> int:
    """Run a separate program with these options (`python -m PROGRAM`); returns its exit status.

    As for the commands, this is 2, after one line, for a user error.
    """
    words = sys.argv[1:] if args is None else args
    return going_on(
        prog, lambda: explained(prog, lambda: main(parse(cls, words, prog, description or "")))
    )


def _with_user_paths(value: T) -> T:
    """Expand `~` in the paths of a dataclass, nested ones included."""
    changes: dict[str, Any] = {}
    hints = get_type_hints(type(value), include_extras=True)
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        part = getattr(value, field.name)
        if isinstance(part, Path):
            positional = tyro.conf.Positional in getattr(hints[field.name], "__metadata__", ())
            option = "" if positional else f"--{field.name.replace('_', '-')}"
            changes[field.name] = possible_path(part, option)
        elif dataclasses.is_dataclass(part):
            changes[field.name] = _with_user_paths(part)
    return dataclasses.replace(value, **changes) if changes else value  # type: ignore[type-var]


def option_names(cls: type, prog: str, extra: dict[str, Any]) -> list[str]:
    """All options of the dataclass, in both forms if there are two."""
    actions = parser_of(cls, prog, **extra)._actions
    return [name for action in actions for name in action.option_strings if name[:2] == "--"]


def _explain_unknown(argument: str, known: list[str], prog: str) -> str:
    if not argument.startswith("--"):
        return f"unexpected argument {argument!r}; {prog} --help lists what there is"
    name = argument.split("=", 1)[0].replace("_", "-")
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    same = [option for option in known if option.rsplit(".", 1)[-1] == name.lstrip("-")]
    near += [option for option in same if option not in near][:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"{prog} --help-all lists them"
    return f"unknown setting {argument.split('=', 1)[0]}; {hint}"


def _quietly(cls: Any, args: Sequence[str], **options: Any) -> Any:
    """Run tyro.cli; its boxed messages become one BadInput."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(cls, args=list(args), registry=REGISTRY, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise BadInput(_one_line(errors.getvalue())) from stop


def _one_line(boxed: str) -> str:
    """The message inside a box printed by tyro, without the frame and the hint to read the help."""
    lines = [line.strip(" │┃") for line in boxed.splitlines() if not line.startswith(("╭", "╰"))]
    body = [line for line in lines if line and not set(line) <= set("─")]
    text = " ".join(line for line in body if "--help" not in line)
    text = re.sub(r" Argument helptext: .*", "", text)
    return re.sub(r"^Error parsing ([\w.]+: )?", "", text) or "the command line could not be read"
