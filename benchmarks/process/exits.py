"""Exit statuses of commands: for expected errors, and for the end of training.

Any other error is a bug and keeps its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.plain_text import printable

FAILED, BAD_INPUT = 1, 2


def explained(prog: str, command: Callable[[], int]) -> int:
    """Run the command and return its status: BAD_INPUT for a user error, FAILED for a run that
    failed, each with a line on stderr.
    """
    try:
        return command()
    except BadInput as error:
        print(printable(f"{prog}: error: {error}"), file=sys.stderr)
        return BAD_INPUT
    except RunFailed as error:
        print(printable(f"{prog}: {error}"), file=sys.stderr)
        return FAILED


def training_ended(finished: bool, stopped: bool, env_steps: int, updates: int, out: Path) -> int:
    """Print how a run ended; returns its exit status: 0, or EXIT_STOPPED after a stop."""
    if finished:
        state = "finished"
    elif stopped:
        state = "stopped; the same command continues it"
    else:
        state = "done (time); a larger --max-minutes continues it;"
    steps = f"{env_steps:,} simulator steps, {updates:,} updates"
    print(f"{state} at {steps}; records in {out}", flush=True)
    return EXIT_STOPPED if stopped and not finished else 0
