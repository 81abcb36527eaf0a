"""How figures look: one colour, line and marker per method in all of them, matplotlib's settings.

The suite's own variants have colours of Okabe and Ito ("Color Universal Design", 2008). Those of
the baselines were searched for: of 15 colours on white, the two most alike stay as far apart as
could be found for normal sight and under the three kinds of colour blindness as Machado et al.
(2009) simulate them (a test holds the distance). Line style and marker differ as well, so that
figures stay readable in grey.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from analysis.read.labels import METHODS as LABELS
from analysis.read.labels import method_label, method_order


class MethodStyle(NamedTuple):
    """The look of one method."""

    label: str
    color: str
    line: Any  # matplotlib line style: a name or (offset, on-off sequence)
    marker: str


SOLID, DASHED, DOTTED, DASH_DOT = "-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))
LIMIT_COLOR = "#000000"
TEXT_COLOR = "#444444"
WARNING_COLOR = "#B00020"

# Widths in inches of a two-column paper; figures are drawn at the size they are printed in, so that
# text sizes are what RC says.
COLUMN, PAGE = 3.4, 7.0
FORMATS = ("pdf", "svg", "png")


def _known(name: str, color: str, line: Any, marker: str) -> MethodStyle:
    return MethodStyle(LABELS[name], color, line, marker)


# The suite's own variants come first and keep Okabe and Ito's colours; unsafe ones are warm, safe
# ones are cold.
METHODS: dict[str, MethodStyle] = {
    "dreamerv3": _known("dreamerv3", "#D55E00", DASHED, "s"),
    "cem": _known("cem", "#E69F00", DOTTED, "D"),
    "osrp": _known("osrp", "#56B4E9", SOLID, "^"),
    "osrp_lag": _known("osrp_lag", "#0072B2", DASH_DOT, "v"),
    "bsrp_lag": _known("bsrp_lag", "#009E73", SOLID, "o"),
    "lambda": _known("lambda", "#A26AF7", SOLID, "P"),
    "safe_slac": _known("safe_slac", "#751810", DASHED, "X"),
    "ppo": _known("ppo", "#7E87A0", DASHED, "<"),
    "ppo_lag": _known("ppo_lag", "#FF849E", SOLID, "<"),
    "trpo": _known("trpo", "#77BD54", DASHED, ">"),
    "trpo_lag": _known("trpo_lag", "#4BDE86", DASH_DOT, ">"),
    "cpo": _known("cpo", "#0946A4", SOLID, "p"),
    "focops": _known("focops", "#C05A59", DOTTED, "h"),
    "cppo_pid": _known("cppo_pid", "#D72830", DASH_DOT, "d"),
    "omnisafe_sac_lag": _known("omnisafe_sac_lag", "#383234", DOTTED, "*"),
}

# For names without an entry above: 10 colours x 4 lines, then the same with other markers; no
# colour of METHODS is among them.
_SPARE_COLORS = (
    "#7F3C8D",
    "#11A579",
    "#3969AC",
    "#A5682A",
    "#80BA5A",
    "#E68310",
    "#008695",
    "#CF1C90",
    "#4B4B8F",
    "#5E6B73",
)
_SPARE_LINES = (SOLID, DASHED, DASH_DOT, DOTTED)
_SPARE_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "p")

RC: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": TEXT_COLOR,
    "axes.linewidth": 0.7,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.color": TEXT_COLOR,
    "ytick.color": TEXT_COLOR,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # TrueType, as publishers ask; also keeps the text searchable
    "svg.fonttype": "none",
    "svg.hashsalt": "safedreamer",
}


def context() -> AbstractContextManager[None]:
    """Matplotlib's settings for building and for saving a figure.

    Leaves the caller's own settings alone.
    """
    return matplotlib.rc_context(RC)


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """The look of each method, in drawing order.

    Known methods always look the same and come first in the order of METHODS. An unknown name, and
    a method's variant, gets a spare look chosen by its own spelling, so it too keeps its colour
    from figure to figure; only when two such names of one call fall on the same look does the
    alphabetically later one move to the next free one.
    """
    names = method_order(methods)
    styles = {name: METHODS[name] for name in names if name in METHODS}
    looks = [(color, line) for line in _SPARE_LINES for color in _SPARE_COLORS]
    taken: set[int] = set()
    for position, name in enumerate(names[len(styles) :]):
        # colours and lines repeat after 40 names, with another marker
        turn, place = divmod(position, len(looks))
        if not place:
            taken.clear()
        start = zlib.crc32(name.encode()) % len(looks)
        index = next(
            i % len(looks) for i in range(start, start + len(looks)) if i % len(looks) not in taken
        )
        taken.add(index)
        styles[name] = MethodStyle(
            method_label(name),
            *looks[index],
            _SPARE_MARKERS[(index + turn) % len(_SPARE_MARKERS)],
        )
    return styles


def plain_text(figure: Figure) -> Figure:
    """Have the figure show names as they are: a `$` in one would begin a formula.

    Numbers on axes keep their powers of ten.
    """
    numbers = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not isinstance(
                axis.get_major_formatter(), FixedFormatter | FuncFormatter | StrCategoryFormatter
            ):
                numbers |= {
                    id(label)
                    for tick in axis.get_major_ticks()
                    for label in (tick.label1, tick.label2)
                }
            numbers |= {
                id(label) for tick in axis.get_minor_ticks() for label in (tick.label1, tick.label2)
            }
    for text in figure.findobj(Text):
        if id(text) not in numbers:
            text.set_parse_math(False)  # type: ignore[attr-defined]
    return figure


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write the figure as `stem` with each ending; the same figure gives the same bytes.

    Returns the files.
    """
    undated = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    files = []
    plain_text(figure)
    with context():
        figure.draw_without_rendering()
        # laid out once: the slowest part, and the same for every format
        figure.set_layout_engine("none")
        for name in formats:
            file = stem.parent / f"{stem.name}.{name}"
            figure.savefig(file, metadata=undated[name])
            files.append(file)
    return files


def svg_text(figure: Figure) -> str:
    """The figure as SVG; its text stays text, in whatever sans-serif font the reader has."""
    buffer = io.StringIO()
    plain_text(figure)
    with context():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
