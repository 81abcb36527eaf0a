"""`publish`: figures, tables, page and README of a results folder, for `safedreamer publish`.

Writes `figures/`, `tables/`, `report.html` and `README.md` from `runs/`, `wanted.csv` and
`trials.csv` alone; the same records give the same bytes. All are written beside the old ones, which
they replace at the end, folders as a whole.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

import pandas as pd

from analysis.commands import figures, report, tables
from analysis.commands.main import parser
from analysis.read.load import load
from analysis.report.readme import Sources, readme
from analysis.results.frames import OURS, WHOLE
from analysis.statistics.final import performance
from analysis.statistics.metrics import scores
from benchmarks.runs.files import TRIALS_FILE, WANTED_FILE
from benchmarks.runs.places import check_folder
from benchmarks.runs.writing import replace_text

WRITERS = {"tables": tables, "figures": figures, "report": report}
TEXTS = {"run_id": str, "variant": str, "cost_source": str, "seeds": str}


def run(args: argparse.Namespace) -> str:
    """Write the files and return a message that names them.

    Runs that are not done, or that no suite contains any more (`wanted.csv`), enter no mean; the
    README lists them. Recordings of other programs always count.

    Raises ValueError where no run is done or has evaluations.
    """
    if len(args.results) != 1:
        raise ValueError("publish takes one results folder")
    folder = args.results[0]
    check_folder(folder)
    done = _done(load(folder / "runs").runs, folder)
    title = args.title or _title(folder)
    reps = ("--reps", str(args.reps))
    drawn = (*reps, "--pair-reps", str(args.pair_reps))
    evaluated = scores(load(done))["return"].notna().any()
    drafts: list[tuple[Path, Path]] = []  # each with the file or folder that it will replace
    try:
        for command, out, options in (
            ("tables", "tables", reps),
            ("figures", "figures", (*drawn, "--formats", "png", "svg")),
            ("report", "report.html", (*drawn, "--title", title)),
        ):
            place = (folder / out).resolve()
            draft = place.with_name(f".{out}.draft")
            _remove(draft)  # of a publish that was killed
            drafts.append((draft, place))
            if command == "tables" and not evaluated:
                continue  # recordings of training only
            words = [*map(str, done), "--out", str(draft), *options]
            WRITERS[command].run(parser(command).parse_args(words))
        text = summary(folder, title)
        replace_text((folder / "README.md").resolve(), text)
        for draft, place in drafts:
            _swap(draft, place)
    finally:
        for draft, _ in drafts:
            _remove(draft)
    show_claims(text, folder.resolve())
    return f"wrote README.md, report.html, figures and tables of {len(done)} runs in {folder}"


def summary(folder: Path, title: str = "") -> str:
    """README.md of a results folder."""
    runs = load(folder / "runs").runs
    results = load(_done(runs, folder))
    found, name = scores(results), folder.resolve().name
    sources = Sources(
        title or _title(folder),
        results,
        runs,
        found,
        performance(found),
        _read(folder / WANTED_FILE),
        _read(folder / TRIALS_FILE),
        f"safedreamer publish results/{name}",
    )
    return readme(sources)


def show_claims(text: str, folder: Path) -> None:
    """Copy the claims of a results README into the checkout's README.

    They go between the markers `<!-- claims of results/NAME -->` and `<!-- end of claims -->`.
    Without markers, or if the folder is not `results/NAME` of a checkout, nothing is done.
    """
    front = folder.parents[1] / "README.md"
    found = re.search(r"^## The paper's claims\n\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if folder.parent.name != "results" or not front.is_file() or found is None:
        return
    begin, end = f"<!-- claims of results/{folder.name} -->", "<!-- end of claims -->"
    page = front.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    shown = f"{begin}\n{found[1].strip()}\n{end}"
    replace_text(front, block.sub(lambda _: shown, page))


def _swap(draft: Path, place: Path) -> None:
    """Put the draft, or nothing if there is none, in the place of a file or folder."""
    old = place.with_name(f".{place.name}.old")
    _remove(old)
    if place.exists():
        place.rename(old)
    if draft.exists():
        draft.rename(place)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _title(folder: Path) -> str:
    return folder.resolve().name.replace("-", " ").capitalize()


def _done(runs: pd.DataFrame, folder: Path) -> list[Path]:
    wanted = _read(folder / WANTED_FILE)
    counts = runs["status"].isin(WHOLE)
    if len(wanted):
        counts &= runs["run_id"].isin(wanted["run_id"]) | (runs["source"] != OURS)
    if not counts.any():
        asked = " of the suites" if len(wanted) else ""
        raise ValueError(
            f"no run in {folder}{asked} is done; `safedreamer status` shows where they stand"
        )
    return [Path(path) for path in runs.loc[counts, "folder"]]


def _read(file: Path) -> pd.DataFrame:
    """A CSV file as a frame; empty if there is no such file."""
    if not file.exists():
        return pd.DataFrame()
    return pd.read_csv(file, dtype=TEXTS, keep_default_na=True).fillna(dict.fromkeys(TEXTS, ""))
