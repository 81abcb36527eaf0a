"""`safedreamer COMMAND ...`.

Dispatches to the subcommand; user errors become one line and exit status 2.

Subcommands are imported when they run, so that `--help` never waits for JAX.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from benchmarks.cli import analysis
from benchmarks.process.allocator import keep_memory
from benchmarks.process.compilation import keep_compiled
from benchmarks.process.exits import explained
from benchmarks.process.modules import search_here_last
from benchmarks.process.options import HELP
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.process.stdout import ending_quietly, going_on
from benchmarks.runs.plain_text import choose

COMMANDS = {
    "train": "train a method on a task; the same command again continues it",
    "sweep": "run a suite; the same command again continues it",
    "suites": "list the suites",
    "status": "show the state of a sweep's runs",
    "logs": "the last lines that runs of a sweep printed",
    "cancel": "cancel runs of a sweep",
    "retry": "reset failed, stale and cancelled runs",
    "clean": "delete what finished runs no longer need",
    "export": "the records of a sweep as one Parquet file",
    "run": "train the run of a run folder",
    "evaluate": "evaluate a policy of a run, the zoo, a share or the authors",
    "official": "evaluate a folder of authors' checkpoints into one table",
    "push": "share a run: a folder, an S3-like URL, or Hugging Face",
    "pull": "fetch a run that was shared",
    "diagnose": "what the agent of a run predicts against what happens",
    "stress": "policies under perturbations, on other tasks, with worse models",
    **analysis.COMMANDS,
    "publish": "turn finished runs into results to commit",
    "doctor": "versions, devices, GL backend, what is missing and how to fix it",
    "demo": "a safe and an unsafe agent side by side for some minutes",
    "methods": "list the methods",
    "tasks": "list the tasks",
    "completion": "words that a shell completes: bash, zsh or fish",
}
ELSEWHERE = {"sweep": "slurm.cli"}  # commands of packages that import this one
# commands that only print: they end once their output is closed
VIEWS = (
    "suites", "status", "logs", "compare", "doctor", "methods", "tasks", "completion", "--version",
    *HELP,
)  # fmt: skip
PROG = "safedreamer"
ENDING = (
    "",
    f"{PROG} COMMAND --help shows its options; {PROG} --version.",
    f"To begin: {PROG} demo, {PROG} doctor, or {PROG} train --help.",
)


def usage() -> str:
    """The text of `safedreamer --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"usage: {PROG} COMMAND [options]", "", "commands:"]
    lines += [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, *ENDING])


def version() -> str:
    """The version of the suite, its commit where that is known, and Python's."""
    from benchmarks.runs.provenance import git_state, suite_version

    state = git_state()
    commit = f" (commit {state['commit'][:10]}{', changed' if state['dirty'] else ''})"
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{PROG} {suite_version()}{commit if state['commit'] else ''}, Python {python}"


def entry() -> NoReturn:
    """Run a command and exit.

    After a stop by signal the process exits at once: unloading XLA and MuJoCo takes seconds on a
    busy machine.
    """
    search_here_last()
    status = main()
    if status == EXIT_STOPPED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns 0, 1 (the command found something wrong, or its run failed), 2 (bad input), 130 when
    interrupted.
    """
    args = list(sys.argv[1:] if args is None else args)

    def command() -> int:
        if not args or args[0] in HELP:
            print(usage())
            return 0 if args else 2
        if args[0] == "--version":
            print(version())
            return 0
        name = choose("command", args[0], COMMANDS)
        if name in analysis.COMMANDS:
            return analysis.run(name, args[1:])
        keep_memory()
        if name not in VIEWS:
            keep_compiled()
        return importlib.import_module(ELSEWHERE.get(name, f"benchmarks.cli.{name}")).main(args[1:])

    shows = not args or args[0] in VIEWS or bool(set(HELP) & set(args))
    try:
        return (ending_quietly if shows else going_on)(PROG, lambda: explained(PROG, command))
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted", file=sys.stderr)
        return 130
