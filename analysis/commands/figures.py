"""`python -m analysis.commands.figures figures|report`, that is `safedreamer figures` and
`safedreamer report`: results in, files out.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from analysis.commands.outcome import Parser, status_of
from benchmarks.runs.places import check_file, check_folder, user_path
from benchmarks.runs.plain_text import printable, shortened
from benchmarks.runs.ranges import option

MAX_NAME_BYTES = 200  # of a file, without its ending


def parser() -> Parser:
    """The command lines of both."""
    p = Parser(prog="safedreamer")
    commands = p.add_subparsers(dest="command", required=True)
    figures = commands.add_parser(
        "figures",
        prog="safedreamer figures",
        description="Figures and their data from run folders.",
    )
    report = commands.add_parser(
        "report",
        prog="safedreamer report",
        description="One HTML page of results, readable offline.",
    )
    for one in (figures, report):
        one.add_argument(
            "results",
            nargs="+",
            type=Path,
            metavar="RESULTS",
            help="run folders, or folders that hold them at any depth",
        )
        one.add_argument(
            "--last",
            type=option("last"),
            default=10,
            metavar="K",
            help="evaluation episodes per run in final values (default: 10)",
        )
        one.add_argument(
            "--at",
            metavar="STEP",
            help="aggregate at this simulator step; 'equal': the last that all runs have reached",
        )
        one.add_argument(
            "--reps",
            type=option("reps"),
            default=2000,
            help="bootstrap resamples of aggregates (default: 2000)",
        )
        one.add_argument(
            "--pair-reps",
            type=option("pair_reps"),
            default=500,
            help="bootstrap resamples of profiles and pairs (default: 500)",
        )
    figures.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        help="folder for the figures (default: figures in the first RESULTS)",
    )
    figures.add_argument(
        "--paper",
        action="store_true",
        help="counterparts of the SafeDreamer paper's figures and tables instead of all",
    )
    figures.add_argument(
        "--formats",
        nargs="+",
        default=["pdf", "svg", "png"],
        choices=("pdf", "svg", "png"),
        help="(default: all three)",
    )
    report.add_argument(
        "--out",
        type=user_path,
        metavar="FILE",
        help="the page (default: report.html in the first RESULTS)",
    )
    report.add_argument("--title", default="", help="heading (default: name of the first RESULTS)")
    report.add_argument(
        "--embed-mb",
        type=option("embed_mb", float),
        default=30.0,
        help="videos of at most this size together are embedded (default: 30)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when everything was written, 2 when the input does not allow it.

    Warnings go to stderr.
    """
    args = parser().parse_args(argv)
    return status_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> str:
    started = time.perf_counter()
    written = _figures(args) if args.command == "figures" else _report(args)
    return f"wrote {written} in {time.perf_counter() - started:.1f} s"


def _figures(args: argparse.Namespace) -> str:
    # after the arguments: --help need not wait for pandas and matplotlib
    from analysis.commands.tables import step
    from analysis.figures import gallery, paper, style
    from analysis.read.load import load
    from analysis.statistics.metrics import equal_progress, scores
    from analysis.tables import formats
    from analysis.tables.comparison import comparison_latex, comparison_markdown

    out = args.out or _folder(args.results[0]) / "figures"
    check_folder(out)
    results = load(args.results)
    config = gallery.GalleryConfig(reps=args.reps, pair_reps=args.pair_reps)
    values = scores(results, args.last, step(args.at, equal_progress(results)))
    out.mkdir(parents=True, exist_ok=True)
    pictures = (
        paper.pictures(results, values, config)
        if args.paper
        else gallery.gallery(results, values, config)
    )
    count, captions = 0, []
    for picture in pictures:
        if picture.figure is None:
            print(f"{picture.name}: not drawn. {picture.caption}")
        else:
            style.save(picture.figure, out / _stem(picture.name), args.formats)
            count += 1
            print(f"{picture.name}: {picture.caption}", flush=True)
        captions.append(f"## {picture.name}: {picture.title}\n\n{picture.caption}\n")
    (out / "captions.md").write_text("\n".join(captions), encoding="utf-8")
    if args.paper:
        listed = paper.panels(results)
        (out / "panels.csv").write_text(formats.csv_text(listed), encoding="utf-8")
        (out / "panels.md").write_text(paper.panels_markdown(listed), encoding="utf-8")
        for name, table in paper.tables_of(values).items():
            (out / f"table-{name}.csv").write_text(formats.csv_text(table), encoding="utf-8")
            (out / f"table-{name}.md").write_text(comparison_markdown(table), encoding="utf-8")
            (out / f"table-{name}.tex").write_text(comparison_latex(table), encoding="utf-8")
            print(
                f"table-{name}: {table['published'].sum()} published rows beside "
                f"{(~table['published']).sum()} of ours"
            )
    return f"{count} figures to {out}"


def _report(args: argparse.Namespace) -> str:
    from analysis.commands.tables import step
    from analysis.figures.gallery import GalleryConfig
    from analysis.read.load import load
    from analysis.report import page
    from analysis.statistics.metrics import equal_progress

    first = _folder(args.results[0])
    out = args.out or first / "report.html"
    check_file(out)
    results = load(args.results)
    drawn = GalleryConfig(reps=args.reps, pair_reps=args.pair_reps, single_tasks=False)
    at = step(args.at, equal_progress(results))
    config = page.PageConfig(
        args.title or first.resolve().name, args.last, at, args.embed_mb, drawn
    )
    text = page.page(results, out, [path for path in args.results if path.is_dir()], config)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    for warning in page.warnings(results):
        print(f"warning: {warning}", file=sys.stderr)
    return f"{out} ({out.stat().st_size / 1e6:.1f} MB)"


def _stem(name: str) -> str:
    """A picture's name as that of its files, whatever tasks and runs are called.

    Different names stay different.
    """
    plain = shortened(printable(name).replace("/", "-").replace("\\", "-"), MAX_NAME_BYTES)
    return plain if plain == name else f"{plain}-{zlib.crc32(name.encode(errors='replace')):08x}"


def _folder(path: Path) -> Path:
    """Where what is made from it goes if nothing else is said."""
    return path if path.is_dir() else path.parent


if __name__ == "__main__":
    sys.exit(main())
