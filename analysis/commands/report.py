"""`report`: one HTML page of results."""

from __future__ import annotations

import argparse
import sys

from analysis.commands import inputs
from analysis.figures.gallery import GalleryConfig
from analysis.report import page
from benchmarks.runs.places import check_file


def run(args: argparse.Namespace) -> str:
    """Write the page and return a message with its path; warnings go to stderr."""
    first = inputs.folder(args)
    out = args.out or first / "report.html"
    check_file(out)
    results = inputs.read(args)
    drawn = GalleryConfig(args.reps, args.pair_reps, args.last)
    at = inputs.step(args.at, results)
    title = args.title or first.resolve().name
    config = page.PageConfig(title, at, args.embed_mb, drawn)
    text = page.page(results, out, [path for path in args.results if path.is_dir()], config)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    for warning in page.warnings(results):
        print(f"warning: {warning}", file=sys.stderr)
    return f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)"
