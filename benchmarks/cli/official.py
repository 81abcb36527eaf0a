"""`safedreamer official`: evaluate all authors' checkpoints of a folder into one table.

Each gets a file of records; a checkpoint with a complete file is not evaluated again.
"""

from __future__ import annotations

import csv
import dataclasses
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli import evaluate
from benchmarks.cli.common import parse
from benchmarks.cli.official_names import Named, named
from benchmarks.process.compilation import forget_compiled
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.places import check_folder
from benchmarks.runs.plain_text import printable
from benchmarks.runs.records import EpisodeRecord, read_rows
from benchmarks.sweep.text import columns

HEADER = ("method", "task", "obs", "seed", "episodes", "return", "cost", "checkpoint")


@dataclasses.dataclass(frozen=True)
class OfficialArgs:
    """Evaluate the authors' checkpoints below a folder into one table; run again, it continues."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder searched recursively for checkpoints, each (or its folder) named
    TIME_METHOD_SUITE_TASK_SEED.ckpt as published.
    """
    out: Path = Path("official")
    """Folder for the records and the table."""
    episodes: int = 10
    """Episodes per checkpoint."""
    unseen: bool = False
    """Play layouts that training never used, instead of those of its evaluations."""
    env_python: str | None = None
    """Python interpreter for the environments."""


def main(args: Sequence[str]) -> int:
    """Evaluate missing checkpoints, print and write the table; returns 1 if one failed, else 0."""
    chosen = parse(OfficialArgs, args, "safedreamer official")
    found = list(checkpoints(chosen.folder))
    if not found:
        raise BadInput(
            f"no checkpoint below {chosen.folder} is named TIME_METHOD_SUITE_TASK_SEED.ckpt"
        )
    check_folder(chosen.out)
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows, failed = [], 0
    paths: dict[str, Path] = {}
    for path, what in found:
        records = chosen.out / f"{what.label}{'-unseen' if chosen.unseen else ''}.csv"
        try:
            if (other := paths.setdefault(what.label, path)) != path:
                raise BadInput(f"its records would replace those of {other}: evaluate it alone")
            played = done(records, chosen.episodes) or play(chosen, path, records)
            rows.append(row(what, played))
        except (BadInput, RunFailed) as error:
            failed += 1
            print(printable(f"failed: {path}: {error}"), file=sys.stderr, flush=True)
    with (chosen.out / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])
    print("\n".join(columns(HEADER, rows)))
    print(f"{len(rows)} of {len(found)} checkpoints evaluated; wrote {chosen.out / 'table.csv'}")
    return 1 if failed else 0


def checkpoints(folder: Path) -> Iterator[tuple[Path, Named]]:
    """Yield checkpoints below a folder with the facts in their names; others are reported only."""
    for path in sorted(folder.rglob("*.ckpt")):
        what = named(path)
        if what is None:
            print(printable(f"left out, its name says no task: {path}"), file=sys.stderr)
        else:
            yield path, what


def done(records: Path, episodes: int) -> list[EpisodeRecord]:
    """The records of an evaluated checkpoint; none if episodes are missing."""
    rows = read_rows(records).records if records.is_file() else []
    return rows if len(rows) == episodes else []


def play(chosen: OfficialArgs, path: Path, records: Path) -> list[EpisodeRecord]:
    """Evaluate a checkpoint and return its records."""
    words = ["--official", str(path), "--episodes", str(chosen.episodes), "--out", str(records)]
    words += ["--unseen"] if chosen.unseen else []
    words += ["--env-python", chosen.env_python] if chosen.env_python else []
    evaluate.main(words)
    forget_compiled()
    return read_rows(records).records


def row(what: Named, rows: Sequence[EpisodeRecord]) -> tuple[str, ...]:
    """A line of the table."""
    means = [statistics.fmean(getattr(r, name) for r in rows) for name in ("return_", "cost")]
    facts = (what.method, what.task, what.obs, str(what.seed), str(len(rows)))
    return (*facts, *(f"{mean:.2f}" for mean in means), what.label)
