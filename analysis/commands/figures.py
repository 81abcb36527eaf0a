"""`figures`: every figure that the results allow, or the counterparts of the SafeDreamer paper's.

Each figure's data are in `NAME.csv` beside it; `captions.md` has the captions and, for figures that
could not be drawn, what is missing.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterable
from pathlib import Path

from analysis.commands import inputs
from analysis.figures import gallery, style
from analysis.figures import paper as paper_figures
from analysis.statistics import paper
from analysis.statistics.metrics import scores
from analysis.tables import comparison
from analysis.tables import paper as paper_tables
from analysis.tables.formats import csv_text
from benchmarks.runs.places import check_folder
from benchmarks.runs.plain_text import printable, shortened

MAX_NAME_BYTES = 200  # of a file name, without its extension


def run(args: argparse.Namespace) -> str:
    """Write the figures; return a message with their number."""
    out = args.out or inputs.folder(args) / "figures"
    check_folder(out)
    style.use_fonts(args.fonts == "latex")
    results = inputs.read(args)
    config = gallery.GalleryConfig(args.reps, args.pair_reps, args.last)
    values = scores(results, args.last, inputs.step(args.at, results))
    out.mkdir(parents=True, exist_ok=True)
    make = paper_figures.pictures if args.paper else gallery.gallery
    count = _write(make(results, values, config), out, args.formats)
    if args.paper:
        listed = paper.panels(results)
        (out / "panels.csv").write_text(csv_text(listed), encoding="utf-8")
        (out / "panels.md").write_text(paper_tables.panels_markdown(listed), encoding="utf-8")
        for row in paper.fills(listed).itertuples():
            said = f"{row.full} of {row.full + row.few + row.empty} panels of methods are complete"
            needs = "GPUs" if "--suite" in row.command else "runs"
            rest = f"; {row.waiting} wait for {needs}: {row.command}" if row.command else ""
            print(f"{row.figure}: {said}{rest}")
        for name, table in paper_tables.tables(values).items():
            for file, text in comparison.files(f"table-{name}", table).items():
                (out / file).write_text(text, encoding="utf-8")
            theirs = int(table["published"].sum())
            print(f"table-{name}: {theirs} published rows beside {len(table) - theirs} of ours")
    return f"wrote {count} figures to {out}"


def _write(pictures: Iterable[gallery.Picture], out: Path, formats: list[str]) -> int:
    count, captions = 0, []
    for picture in pictures:
        stem = _stem(picture.name)
        if picture.figure is not None:
            style.save(picture.figure, out / stem, formats)
            count += 1
        if picture.data is not None:
            (out / f"{stem}.csv").write_text(csv_text(picture.data), encoding="utf-8")
        print(f"{picture.name}: {picture.caption}", flush=True)
        captions.append(f"## {picture.name}: {picture.title}\n\n{picture.caption}\n")
    (out / "captions.md").write_text("\n".join(captions), encoding="utf-8")
    return count


def _stem(name: str) -> str:
    """File stem for a picture's name, valid whatever characters tasks and runs have in theirs.

    Different names give different stems.
    """
    plain = shortened(printable(name).replace("/", "-").replace("\\", "-"), MAX_NAME_BYTES)
    return plain if plain == name else f"{plain}-{zlib.crc32(name.encode(errors='replace')):08x}"
