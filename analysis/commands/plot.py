"""`plot`: curves, a table of final performance, all episodes and a summary of the runs.

Writes `curves.png`, `curves.pdf`, `table.md`, `table.csv`, `episodes.csv`, `report.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from analysis.commands import inputs
from analysis.figures import curves, style
from analysis.read.load import REPORT_FILE
from analysis.results.frames import Results
from analysis.statistics.final import final_runs, performance
from analysis.tables import cells
from analysis.tables.formats import csv_text, several_tasks
from analysis.tables.runs import problems, runs_markdown
from benchmarks.runs.places import check_folder

HEAD = (
    "Method", "Return", "Cost", "Feasible seeds", "Episodes within limit", "Cost limit", "Episodes",
    "Runs", "Seed numbers", "Simulator steps", "Minutes",
)  # fmt: skip


def run(args: argparse.Namespace) -> str:
    """Write the files and return the table; warnings go to stderr."""
    check_folder(args.out)
    style.use_fonts(args.fonts == "latex")
    results = inputs.read(args)
    files = write(results, args.out, args.last, args.title)
    for warning in problems(results):
        print(f"warning: {warning}", file=sys.stderr)
    table = (args.out / "table.md").read_text(encoding="utf-8")
    return f"{table}\nwrote {', '.join(map(str, files))}"


def write(results: Results, out: Path, k: int = 10, title: str = "") -> list[Path]:
    """Write curves, tables and all episodes to the folder `out`; return the files.

    Args: k, evaluation episodes per run in the table. Raises ValueError when no run names a task.
    """
    figure = curves.curves(results, title=title)
    table = performance(final_runs(results, k))
    out.mkdir(parents=True, exist_ok=True)
    columns = ("Task", *HEAD) if several_tasks(table) else HEAD
    shown = cells.performance(table, columns, k).markdown()
    head = f"# {title}\n\n" if title else ""
    texts = {
        # written first: marks the folder as a report, not a run
        REPORT_FILE: _summary(results, k, out),
        "table.md": f"{head}## Final performance\n\n{shown}\n## Runs\n\n{runs_markdown(results)}",
        "table.csv": csv_text(table),
        "episodes.csv": results.episodes.to_csv(index=False, lineterminator="\n"),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    drawn = style.save(figure, out / "curves", ("png", "pdf"))
    return [*drawn, *(out / name for name in (*list(texts)[1:], REPORT_FILE))]


def _summary(results: Results, k: int, out: Path) -> str:
    # relative paths, so that a report that is moved together with its runs stays valid
    start = out.resolve()
    folders = [os.path.relpath(path, start) if path else "" for path in results.runs["folder"]]
    runs = results.runs.assign(folder=folders, status=results.runs["status"].map(str))
    summary = {
        "last_evaluations": k,
        "runs": json.loads(runs.to_json(orient="records")),  # NaN becomes null
        "damage": json.loads(results.damage.to_json(orient="records")),
        "warnings": problems(results),
    }
    return json.dumps(summary, indent=1) + "\n"
