"""Writes a report: run folders in.

`curves.png`, `curves.pdf`, `table.md`, `table.csv`, `episodes.csv`, `report.json` out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from analysis.figures import curves, style
from analysis.read.load import REPORT_FILE, WHOLE, Results, load, set_cost_limit
from analysis.tables import final as tables


class Report(NamedTuple):
    """What was written, the results it shows, and one warning for each run that is not whole."""

    files: tuple[Path, ...]
    results: Results
    warnings: tuple[str, ...]


def write_report(
    run_dirs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    k: int = 10,
    cost_limit: float | None = None,
    title: str = "",
) -> Report:
    """Load the runs at or below `run_dirs` and write curves, tables and all their episodes to the
    folder `out`.

    Args: k, evaluation episodes per run in the table; cost_limit, per episode, replaces the one
    each run was given. Raises FileNotFoundError for a folder that is not there, ValueError when no
    run names a task.
    """
    results = load(run_dirs)
    if cost_limit is not None:
        results = set_cost_limit(results, cost_limit)
    figure = style.plain_text(curves.curves(results, title=title))
    table = tables.final_performance(results, k)
    warnings = tuple(problems(results))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    # first: marks the folder as no run
    (out / REPORT_FILE).write_text(_summary(results, k, warnings, out), encoding="utf-8")
    with style.context():
        for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
            # no dates: the same runs give the same bytes
            figure.savefig(out / f"curves{suffix}", metadata=metadata)
    (out / "table.md").write_text(_markdown(results, table, k, title), encoding="utf-8")
    (out / "table.csv").write_text(tables.csv_text(table), encoding="utf-8")
    (out / "episodes.csv").write_text(
        results.episodes.to_csv(index=False, lineterminator="\n"), encoding="utf-8"
    )
    names = ("curves.png", "curves.pdf", "table.md", "table.csv", "episodes.csv", REPORT_FILE)
    return Report(tuple(out / name for name in names), results, warnings)


def problems(results: Results) -> list[str]:
    """One line for each run that is not complete or has notes or damaged lines."""
    lines = []
    for r in results.runs.itertuples():
        parts = [] if r.status in WHOLE else [r.status]
        if r.damaged_lines:
            parts.append(f"{r.damaged_lines} damaged line{'' if r.damaged_lines == 1 else 's'}")
        parts += [r.notes] if r.notes else []
        if parts:
            lines.append(f"{r.run}: {'; '.join(parts)}")
    return lines


def _markdown(results: Results, table: pd.DataFrame, k: int, title: str) -> str:
    heading = f"# {title}\n\n" if title else ""
    performance, runs = tables.performance_markdown(table, k), tables.runs_markdown(results)
    return f"{heading}## Final performance\n\n{performance}\n## Runs\n\n{runs}"


def _summary(results: Results, k: int, warnings: Sequence[str], out: Path) -> str:
    # From here, so that a report that lies with its runs means the same on another machine.
    folders = [
        os.path.relpath(folder, out.resolve()) if folder else ""
        for folder in results.runs["folder"]
    ]
    # NaN becomes null
    runs = json.loads(results.runs.assign(folder=folders).to_json(orient="records"))
    damage = json.loads(results.damage.to_json(orient="records"))
    return (
        json.dumps(
            {"last_evaluations": k, "runs": runs, "damage": damage, "warnings": list(warnings)},
            indent=1,
        )
        + "\n"
    )
