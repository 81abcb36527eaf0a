"""`stress`: figure and tables of folders that `safedreamer stress` wrote.

Writes `stress.png`, `stress.pdf`, `levels.csv`, `thresholds.csv` and `stress.md`; for transfer
`transfer.png`, `transfer.pdf` and `transfer.csv`; where prediction errors were measured
`errors.png`, `errors.pdf` and `errors.csv`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import stress as figures
from analysis.figures import stress_errors, style
from analysis.read.stress import read, read_errors
from analysis.statistics.stress import cost_and_errors, costlier, matrix, stress
from analysis.tables.formats import csv_text
from analysis.tables.stress import (
    costlier_markdown,
    errors_markdown,
    levels_markdown,
    matrix_markdown,
    thresholds_markdown,
)
from benchmarks.runs.places import check_folder

KEY = ["run_id", "method", "task", "perturbation", "strength", "episode"]
INTERVALS = "Intervals: 95 %, bootstrap over episodes within runs.\n"
PAIRED = (
    "In brackets: paired difference in cost per episode, mean over the strengths and layouts that "
    "both methods played. A difference counts if its 95 % bootstrap interval over layouts "
    "excludes 0.\n"
)
ERRORS = (
    "Root mean square errors on the rows of these episodes: of observations relative to that of "
    "always saying the mean, of costs in cost per agent step.\n"
)


def run(args: argparse.Namespace) -> str:
    """Draw the folders and return the thresholds, or the transfer matrix, as Markdown."""
    out = args.out or args.folders[0]
    check_folder(out)
    frame = pd.concat([read(folder) for folder in args.folders], ignore_index=True)
    if frame.duplicated(KEY).any():
        raise ValueError("two of the folders hold the same episodes")
    errors = pd.concat([read_errors(folder) for folder in args.folders], ignore_index=True)
    out.mkdir(parents=True, exist_ok=True)
    predicted = cost_and_errors(frame, errors)
    found, tasks = stress(frame, args.reps), matrix(frame)
    files, parts = [], []
    if not tasks.empty:
        drawn = figures.transfer(tasks, args.title)
        files += _write(out, "transfer", drawn, {"transfer": tasks})
        parts += ["## Transfer: return at cost\n", matrix_markdown(tasks)]
    if not found.levels.empty:
        files += _write(out, "stress", figures.figure(found, args.title), found._asdict())
        parts += ["## Strength at which cost exceeds its limit\n", thresholds_markdown(found)]
        parts.append(INTERVALS)
        differences = costlier(frame, args.reps)
        if not differences.empty:
            parts += ["## Which costs more\n", costlier_markdown(differences), PAIRED]
        parts += ["## Return and cost\n", levels_markdown(found)]
    if not predicted.empty:
        drawn = stress_errors.figure(predicted, args.title)
        files += _write(out, "errors", drawn, {"errors": predicted})
        parts += ["## Cost against prediction errors\n", ERRORS, errors_markdown(predicted)]
    if not parts:
        raise ValueError(
            f"{args.folders[0]} holds undisturbed episodes only: there is nothing to draw"
        )
    text = out / "stress.md"
    text.write_text("\n".join(parts), encoding="utf-8")
    shown = "\n".join(parts[:2]) if found.levels.empty else thresholds_markdown(found)
    return f"{shown}\nwrote {', '.join(map(str, [*files, text]))}"


def _write(folder: Path, stem: str, figure: Figure, tables: dict[str, pd.DataFrame]) -> list[Path]:
    files = style.save(figure, folder / stem, ("png", "pdf"))
    for name, table in tables.items():
        files.append(folder / f"{name}.csv")
        files[-1].write_text(csv_text(table), encoding="utf-8")
    return files
