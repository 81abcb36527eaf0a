"""Functions for notebooks: results as a table, and curves as a figure."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import curves
from analysis.read.load import load
from analysis.results.frames import Results

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def read_results(paths: Paths) -> pd.DataFrame:
    """One row per episode of all results at or below the paths.

    Columns: run, variant, label, then those of docs/reference/records.md.
    """
    return load(paths).episodes


def draw_curves(results: Paths | Results, title: str = "") -> Figure:
    """Return and cost of every method over simulator steps, a pair of panels per task."""
    found = results if isinstance(results, Results) else load(results)
    return curves.curves(found, title=title)
