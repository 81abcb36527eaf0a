"""Frames common to all formats: episodes, runs, damaged lines.

Every reader (`analysis.read`) returns a `Part`; `analysis.results.assemble` joins them into
`Results`. Nothing is dropped: a run without records keeps its row in `Results.runs`, with the
reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.runs.records import DTYPES


class Status(StrEnum):
    """How far a run got, or why it has no records."""

    COMPLETE = "complete"
    TIMED = "complete (time)"  # its time budget was used up before its step budget
    SHORT = "short of its step budget"
    NO_BUDGET = "no step budget known"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NO_SPEC = "no specification"
    BAD_SPEC = "unreadable specification"
    NO_RECORDS = "no records"
    BAD_RECORDS = "unreadable records"
    EMPTY = "empty folder"
    DUPLICATE = "duplicate"


WHOLE = (Status.COMPLETE, Status.TIMED)
OUT_OF_TIME = "out_of_time"  # state of a run that used up its time budget
OURS = "run folder"  # source of the runs of this suite
IDENTITY = ("run_id", "method", "task", "obs", "seed")
DAMAGE_COLUMNS = ("run", "file", "line", "reason")

# Facts about a run that a reader may supply, with their defaults.
FACTS: Mapping[str, Any] = {
    "run": "",
    "run_id": "",
    "method": "",
    "variant": "",
    "cost_source": "",  # where imagined costs come from, `model.cost_source`
    "task": "",
    "obs": "",
    "seed": pd.NA,
    "preset": "",
    "suites": "",  # joined by commas, as are tags
    "tags": "",
    "problem": "",  # status of a run with missing or unreadable files
    "state": "",  # last state that the run recorded
    "budget_env_steps": np.nan,
    "cost_limit": np.nan,
    "settings_id": "",  # of all settings but the seed (`benchmarks.runs.identity`); "" if unknown
    "source": OURS,
    "per_episode": True,  # False: its rows are means over several episodes
    "lacks": "",  # data that its format does not have
    "folder": "",
    "commit": "",
    "dirty": False,
    "devices": "",
    "started": "",
    "damaged_lines": 0,
    "notes": "",
}


class Results(NamedTuple):
    """Everything that was read.

    episodes: one row per episode: `run`, `variant`, `label`, then the columns of
        `benchmarks.runs.records`. `length`, `agent_steps` and `wall_seconds` are NaN where a
        foreign format lacks them.
    runs: one row per run: the columns of FACTS but `problem` and `settings_id`, `label`
        (`analysis.results.labels`), `status`, `used`, `train_episodes`, `eval_episodes`,
        `env_steps` (reached), `wall_seconds`.
    damage: one row per damaged line: DAMAGE_COLUMNS.
    """

    episodes: pd.DataFrame
    runs: pd.DataFrame
    damage: pd.DataFrame


class Part(NamedTuple):
    """What one reader returns: episodes, a mapping of FACTS for each run, damaged lines."""

    episodes: pd.DataFrame
    facts: list[dict[str, Any]]
    damage: pd.DataFrame


class Damage(NamedTuple):
    """One line that is not a valid record; `line` counts from 1, the header."""

    file: str
    line: int
    reason: str


def no_episodes() -> pd.DataFrame:
    """An empty frame with `run` and the columns and dtypes of `benchmarks.runs.records`."""
    columns = {"run": "str", **DTYPES}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns.items()})


def damage_frame(lines: Iterable[tuple[str, Damage]] = ()) -> pd.DataFrame:
    """Damaged lines of runs as a frame."""
    return pd.DataFrame([(run, *line) for run, line in lines], columns=list(DAMAGE_COLUMNS))
