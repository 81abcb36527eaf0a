"""`stress`: figure and tables of a folder that `safedreamer stress` wrote, beside its records.

Writes `stress.png`, `stress.pdf`, `levels.csv`, `thresholds.csv` and `stress.md`; for transfer
`transfer.png`, `transfer.pdf` and `transfer.csv`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from analysis.figures import stress as figures
from analysis.figures import style
from analysis.read.stress import read
from analysis.statistics.stress import Stress, matrix, stress
from analysis.tables.formats import csv_text
from analysis.tables.stress import levels_markdown, matrix_markdown, thresholds_markdown

INTERVALS = "Intervals: 95 %, bootstrap over episodes within runs.\n"


def run(args: argparse.Namespace) -> str:
    """Draw FOLDER and return the thresholds, or the matrix of tasks."""
    frame = read(args.folder)
    found, tasks = stress(frame, args.reps), matrix(frame)
    files, parts = [], []
    if not tasks.empty:
        files += style.save(
            figures.transfer(tasks, args.title), args.folder / "transfer", ("png", "pdf")
        )
        files += [_csv(args.folder / "transfer.csv", tasks)]
        parts += ["## Transfer: return at cost\n", matrix_markdown(tasks)]
    if not found.levels.empty:
        files += style.save(
            figures.figure(found, args.title), args.folder / "stress", ("png", "pdf")
        )
        files += _tables(args.folder, found)
        parts += ["## Strength at which cost exceeds its limit\n", thresholds_markdown(found)]
        parts += [INTERVALS, "## Return and cost\n", levels_markdown(found)]
    if not parts:
        raise ValueError(f"{args.folder} holds undisturbed episodes only: there is nothing to draw")
    text = args.folder / "stress.md"
    text.write_text("\n".join(parts), encoding="utf-8")
    shown = "\n".join(parts[:2]) if found.levels.empty else thresholds_markdown(found)
    return f"{shown}\nwrote {', '.join(map(str, [*files, text]))}"


def _tables(folder: Path, found: Stress) -> list[Path]:
    return [
        _csv(folder / "levels.csv", found.levels),
        _csv(folder / "thresholds.csv", found.thresholds),
    ]


def _csv(file: Path, table: pd.DataFrame) -> Path:
    file.write_text(csv_text(table), encoding="utf-8")
    return file
