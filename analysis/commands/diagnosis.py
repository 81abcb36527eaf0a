"""`diagnosis`: draw a table that `safedreamer diagnose` wrote; the figure goes beside it."""

from __future__ import annotations

import argparse

from analysis.figures import style
from analysis.figures.diagnosis import diagnosis
from analysis.read.diagnosis import read


def run(args: argparse.Namespace) -> str:
    """Draw FILE.csv into FILE.png and FILE.pdf."""
    figure = diagnosis(read(args.file), args.title)
    files = style.save(figure, args.file.with_suffix(""), ("png", "pdf"))
    return f"wrote {', '.join(map(str, files))}"
