"""`python -m analysis RUN... --out DIR`, or `safedreamer plot`: curves and tables from run folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The command line of `python -m analysis`."""
    p = argparse.ArgumentParser(prog="safedreamer plot", description="Curves and tables from run folders.")
    p.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or folders that hold them at any depth")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the figures and tables")
    p.add_argument("--last", type=int, default=10, metavar="K", help="evaluation episodes per run in the table (default: 10)")
    p.add_argument("--cost-limit", type=float, metavar="COST", help="per episode (default: the limit each run was given)")
    p.add_argument("--title", default="", help="heading of figure and table (default: the task)")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when the report was written, 2 when the input does not allow one; warnings go to stderr."""
    args = parser().parse_args(argv)
    from analysis.report import write_report  # after the arguments: --help need not wait for pandas and matplotlib

    try:
        report = write_report(args.runs, args.out, k=args.last, cost_limit=args.cost_limit, title=args.title)
    except (FileNotFoundError, ValueError) as error:
        print(f"safedreamer: error: {error}", file=sys.stderr)
        return 2
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print((args.out / "table.md").read_text(encoding="utf-8"))
    print("wrote " + ", ".join(map(str, report.files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
