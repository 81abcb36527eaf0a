"""Exit statuses of commands: of errors that a line explains, and of a training that ended.

Any other error is a defect and keeps its traceback.
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
    """The command's own status, BAD_INPUT for a mistake of the user's, FAILED for a run that
    failed; their line goes to stderr.
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
    """Print how a run ended: its steps, or its minutes, are spent, or it was stopped.

    Returns 0, or EXIT_STOPPED after a stop.
    """
    if finished:
        state = "finished"
    elif stopped:
        state = "stopped; the same command continues it"
    else:
        state = "done (time); a larger --max-minutes continues it;"
    steps = f"{env_steps:,} simulator steps, {updates:,} updates"
    print(f"{state} at {steps}; records in {out}", flush=True)
    return EXIT_STOPPED if stopped and not finished else 0
