"""Inputs that commands share: the results, and the step at which runs are judged."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analysis.commands.main import EQUAL
from analysis.read import importing
from analysis.read.load import load
from analysis.results.frames import Results
from analysis.results.judge import join_observations, set_cost_limit, usable
from analysis.statistics.metrics import equal_progress
from benchmarks.runs.plain_text import printable
from benchmarks.runs.ranges import check_number
from benchmarks.runs.records import TRAIN


def read(args: argparse.Namespace) -> Results:
    """The results of RESULTS and `--import` under `--observations` and `--cost-limit`.

    Warns of runs with records that name no task.
    """
    parts = [part for words in args.imported for part in importing.read(words)]
    results = load(args.results, parts)
    if args.observations == "together":
        results = join_observations(results)
    runs = results.runs
    if len(nameless := runs.loc[runs["used"] & (runs["task"] == ""), "run"]):
        text = f"warning: left out, because they name no task: {', '.join(nameless)}"
        print(printable(text), file=sys.stderr)
    limit = getattr(args, "cost_limit", None)
    return results if limit is None else set_cost_limit(results, limit)


def step(text: str | None, results: Results) -> int | None:
    """The simulator step of `--at`; None for the end of each run.

    Raises ValueError for anything but a number or EQUAL, and for a number below the first
    evaluation of all runs.
    """
    if text is None:
        return None
    if text == EQUAL:
        return equal_progress(results)
    try:
        check_number("at", float(text))
        at = int(float(text))
    except (ValueError, OverflowError):
        raise ValueError(f"--at {text}: give a number of simulator steps or '{EQUAL}'") from None
    judged = usable(results)
    steps = judged.loc[judged["split"] != TRAIN, "env_steps"]
    if len(steps) and at < steps.min():
        raise ValueError(
            f"no run has evaluations up to simulator step {at:,}; the first is at "
            f"{steps.min():,}: give a larger --at"
        )
    return at


def folder(args: argparse.Namespace) -> Path:
    """Default output folder: the first of RESULTS, or the current folder if there are none."""
    path = args.results[0] if args.results else Path()
    return path if path.is_dir() else path.parent
