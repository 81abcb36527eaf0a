"""`python -m analysis RUN... --out DIR`, or `safedreamer plot`.

Curves and tables from run folders.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.commands.outcome import Parser, status_of
from benchmarks.runs.places import check_folder, user_path
from benchmarks.runs.ranges import option


def parser() -> Parser:
    """The command line of `python -m analysis`."""
    p = Parser(prog="safedreamer plot", description="Curves and tables from run folders.")
    p.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folders, or folders that hold them at any depth",
    )
    p.add_argument(
        "--out",
        type=user_path,
        required=True,
        metavar="DIR",
        help="folder for the figures and tables",
    )
    p.add_argument(
        "--last",
        type=option("last"),
        default=10,
        metavar="K",
        help="evaluation episodes per run in the table (default: 10)",
    )
    p.add_argument(
        "--cost-limit",
        type=option("cost_limit", float),
        metavar="COST",
        help="per episode (default: the limit each run was given)",
    )
    p.add_argument("--title", default="", help="heading of figure and table (default: the task)")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when the report was written, 2 when the input does not allow one.

    Warnings go to stderr.
    """
    args = parser().parse_args(argv)
    return status_of(lambda: _write(args))


def _write(args: argparse.Namespace) -> str:
    # after the arguments: --help need not wait for pandas and matplotlib
    from analysis.report.write import write_report

    check_folder(args.out)
    report = write_report(
        args.runs, args.out, k=args.last, cost_limit=args.cost_limit, title=args.title
    )
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    table = (args.out / "table.md").read_text(encoding="utf-8")
    return "\n".join([table, "wrote " + ", ".join(map(str, report.files))])


if __name__ == "__main__":
    sys.exit(main())
