"""Command lines of the analysis as one table: `python -m analysis COMMAND ...`.

`safedreamer COMMAND` is the same. A command is `run(args)` of its module, which is imported after
the arguments are parsed, so that --help loads neither pandas nor matplotlib.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from benchmarks.process.help import page
from benchmarks.process.options import HELP, check_once
from benchmarks.process.stdout import ending_quietly, going_on
from benchmarks.runs.places import user_path
from benchmarks.runs.plain_text import printable
from benchmarks.runs.ranges import option

EQUAL = "equal"  # `--at`
AGGREGATED = (
    "normalised_return normalised_cost normalised_cost_rate cost_over_limit feasible".split()
)


def _flag(help: str, **settings: Any) -> dict[str, Any]:
    return {"help": help, **settings}


# option -> arguments of `add_argument`; a name in angle brackets marks a command's own version
OPTIONS: Mapping[str, dict[str, Any]] = {
    "results": _flag(
        "folders of runs at any depth, also of other programs; Parquet files",
        nargs="*", type=Path, metavar="RESULTS",
    ),
    "--import": _flag(
        "results of other programs with a map of their columns, such as: theirs.csv return=ep_ret "
        "cost=ep_cost env_steps=step method=theirs task=SafetyPointGoal1-v0; may be given again",
        nargs="+", action="append", default=[], dest="imported", metavar="PATH",
    ),
    "a": _flag("method or tag", metavar="A"),
    "b": _flag("method or tag that A is taken from", metavar="B"),
    "file": _flag("table that `safedreamer diagnose` wrote", type=Path, metavar="FILE"),
    "folders": _flag(
        "results of `safedreamer stress`, drawn together", nargs="+", type=Path, metavar="FOLDER"
    ),
    "--out <stress>": _flag(
        "folder for figure and tables (default: the first FOLDER)", type=user_path, metavar="DIR"
    ),
    "--out": _flag("folder for the files", type=user_path, required=True, metavar="DIR"),
    "--out <figures>": _flag(
        "folder for the figures (default: figures in the first RESULTS)",
        type=user_path, metavar="DIR",
    ),
    "--out <page>": _flag(
        "the page (default: report.html in the first RESULTS)", type=user_path, metavar="FILE"
    ),
    "--last": _flag(
        "evaluation episodes per run in final values (default: 10)",
        type=option("last"), default=10, metavar="K",
    ),
    "--at": _flag(
        f"judge runs at this simulator step; '{EQUAL}': the last that all have reached",
        metavar="STEP",
    ),
    "--cost-limit": _flag(
        "per episode (default: the limit each run was given)",
        type=option("cost_limit", float), metavar="COST",
    ),
    "--observations": _flag(
        "one task under several observations: separate tasks, or runs of one task together "
        "(default: separate)",
        choices=("separate", "together"), default="separate",
    ),
    "--reps": _flag(
        "bootstrap resamples of aggregates (default: 2000)", type=option("reps"), default=2000
    ),
    "--pair-reps": _flag(
        "bootstrap resamples of profiles, sample efficiency and pairs (default: 500)",
        type=option("pair_reps"), default=500,
    ),
    "--metrics": _flag(
        f"aggregated (default: {' '.join(AGGREGATED)})",
        nargs="+", default=AGGREGATED, metavar="NAME",
    ),
    "--no-published": _flag("without published numbers beside ours", action="store_true"),
    "--by": _flag(
        "what A and B are (default: method)", choices=("method", "tag"), default="method"
    ),
    "--metric": _flag(
        "columns of the scores (default: return cost)", nargs="+", default=["return", "cost"]
    ),
    "--power": _flag(
        "probability with which planned seeds shall tell them apart (default: 0.8)",
        type=option("power", float), default=0.8,
    ),
    "--paper": _flag(
        "counterparts of the SafeDreamer paper's figures and tables instead of all",
        action="store_true",
    ),
    "--formats": _flag(
        "(default: all three)",
        nargs="+", default=["pdf", "svg", "png"], choices=("pdf", "svg", "png"),
    ),
    "--fonts": _flag(
        "latex: Computer Modern where installed, else Times; needs no LaTeX (default: sans)",
        choices=("sans", "latex"), default="sans",
    ),
    "--title": _flag("heading (default: the task, or the name of RESULTS)", default=""),
    "--embed-mb": _flag(
        "videos of at most this size together are embedded (default: 30)",
        type=option("embed_mb", float), default=30.0,
    ),
}  # fmt: skip


class Command(NamedTuple):
    """A command's description and options, whether it prints how long it took (`timed`), and
    whether it only prints results (`shows`), so that it ends once its output is closed.
    """

    description: str
    options: str
    timed: bool = False
    shows: bool = False


READING = "results --import --last --observations"
COMMANDS: Mapping[str, Command] = {
    "plot": Command(
        "Curves and tables from run folders.", f"{READING} --out --cost-limit --fonts --title"
    ),
    "tables": Command(
        "Tables of results as CSV, Markdown and LaTeX.",
        f"{READING} --out --at --cost-limit --metrics --reps --no-published",
    ),
    "compare": Command(
        "A paired comparison of two methods, or of two tags.",
        f"{READING} a b --by --metric --power",
        shows=True,
    ),
    "figures": Command(
        "Figures and their data from run folders.",
        f"{READING} --out|<figures> --at --reps --pair-reps --paper --formats --fonts",
        timed=True,
    ),
    "report": Command(
        "One HTML page of results, readable offline.",
        f"{READING} --out|<page> --at --reps --pair-reps --title --embed-mb",
        timed=True,
    ),
    "publish": Command(
        "All files that a results folder shows of its runs; `safedreamer publish` calls it.",
        "results --title --reps --pair-reps",
        timed=True,
    ),
    "diagnosis": Command(
        "The figure of a table that `safedreamer diagnose` wrote.", "file --title"
    ),
    "stress": Command(
        "Figure and tables of folders that `safedreamer stress` wrote.",
        "folders --out|<stress> --reps --title",
    ),
}


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors, without repeated or abbreviated options."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **options)

    def parse_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None
    ) -> argparse.Namespace:
        words = list(sys.argv[1:] if args is None else args)
        if set(HELP) & set(words):
            print(page(self, (), self.prog, None), flush=True)
            raise SystemExit(0)
        try:
            check_once(words, repeated=("--import",))
        except ValueError as error:
            self.error(str(error))
        return super().parse_args(words)

    def error(self, message: str) -> NoReturn:
        print(printable(f"safedreamer: error: {message}"), file=sys.stderr)
        raise SystemExit(2)


def parser(command: str) -> Parser:
    """The argument parser of one command."""
    about = COMMANDS[command]
    p = Parser(prog=f"safedreamer {command}", description=about.description)
    for name in about.options.split():
        name = name.replace("|", " ")
        p.add_argument(name.split()[0], **OPTIONS[name])
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and print its report.

    Returns the exit status: 0, or 2 after one line on stderr for invalid input.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] not in COMMANDS:
        print(f"usage: python -m analysis {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 2

    def reported() -> int:
        args = parser(argv[0]).parse_args(argv[1:])
        started = time.perf_counter()
        try:
            text = importlib.import_module(f"analysis.commands.{argv[0]}").run(args)
        except (OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError | ValueError) and error.filename is None:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise  # an error of stdout, or a bug
                places = [getattr(args, "out", None), *getattr(args, "results", ())]
                error.filename = next((str(place) for place in places if place), None)
            print(printable(f"safedreamer: error: {error}"), file=sys.stderr)
            return 2
        taken = f" in {time.perf_counter() - started:.1f} s" if COMMANDS[argv[0]].timed else ""
        print(printable(text + taken))
        return 0

    shows = COMMANDS[argv[0]].shows or bool(set(HELP) & set(argv))
    return (ending_quietly if shows else going_on)("safedreamer", reported)
