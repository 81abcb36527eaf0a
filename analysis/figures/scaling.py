"""`python -m analysis.figures.scaling results/perf/scaling.json docs/media/scaling.png`.

How time and memory of updates and plans grow with one size at a time, as measured by
`python -m benchmarks.perf --suite scaling`: each relative to its smallest size, on doubling axes,
beside the line of what grows in proportion.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.figures import style

# title -> kind of case, column
PANELS = {
    "update: seconds": ("update", "median"),
    "update: peak memory": ("update", "peak_bytes"),
    "planned action: seconds": ("plan", "median"),
}
MARKERS = ("o", "s", "^", "D", "v")


def growth(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows of scaling.json as one row per panel, setting and size.

    Columns: `panel`, `setting`, `size` and `value`, both relative to the setting's smallest size.
    """
    found = []
    for row in rows:
        setting, _, size = row["name"].partition(", ")[2].partition("=")
        found += [
            {"panel": panel, "setting": setting, "size": float(size), "value": row[column]}
            for panel, (kind, column) in PANELS.items()
            if kind == row["kind"]
        ]
    frame = pd.DataFrame(found).sort_values(["panel", "setting", "size"], ignore_index=True)
    first = frame.groupby(["panel", "setting"])[["size", "value"]].transform("first")
    return frame.assign(size=frame["size"] / first["size"], value=frame["value"] / first["value"])


def figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """One panel each for seconds and memory of an update, and seconds of a planned action."""
    import seaborn as sns  # local: the import takes seconds

    frame = growth(rows)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    with style.context():
        drawn = Figure((style.PAGE, 3.0), layout="constrained")
        for axes, panel in zip(drawn.subplots(1, len(PANELS)), PANELS):
            here = frame[frame["panel"] == panel]
            settings = list(here["setting"].unique())
            sns.lineplot(
                here, x="size", y="value", hue="setting", style="setting", ax=axes, dashes=False,
                palette=sns.color_palette("colorblind", len(settings)),
                markers=dict(zip(settings, MARKERS)),
            )  # fmt: skip
            largest = here["size"].max()
            axes.plot([1, largest], [1, largest], label="in proportion", **style.LIMIT_LINE)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(plain)
            axes.set_title(panel)
            axes.set_xlabel("size, relative to the smallest")
            axes.set_ylabel("relative to the smallest" if panel == next(iter(PANELS)) else "")
            axes.legend(fontsize=6)
    return drawn


def main(source: str, target: str) -> None:
    """Draw a file of measurements into another."""
    rows = json.loads(Path(source).read_text(encoding="utf-8"))["rows"]
    file = Path(target)
    style.save(figure(rows), file.with_suffix(""), (file.suffix.removeprefix("."),))


if __name__ == "__main__":
    main(*sys.argv[1:])
