"""How figures look and are saved: one colour, line and marker per method, matplotlib's settings.

The suite's own variants have colours of Okabe and Ito ("Color Universal Design", 2008). Those of
the baselines come from a search: of 15 colours on white, it maximises the distance of the two most
alike, for normal vision and for the three kinds of colour blindness as Machado et al. (2009)
simulate them (a test bounds the distance). Line style and marker differ as well, so that figures
stay readable in greyscale. A method that is given its costs has the look of the method, in a darker
shade.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

from analysis.results.labels import METHODS as LABELS
from analysis.results.labels import method_label, method_order, split_label


class MethodStyle(NamedTuple):
    """The look of one method."""

    label: str
    color: str
    line: Any  # matplotlib line style: a name or (offset, on-off sequence)
    marker: str

    @property
    def dashes(self) -> Any:
        """The line style as seaborn expects it: an on-off sequence, or "" for a solid line."""
        return "" if self.line == SOLID else self.line[1]

    def handle(self, label: str = "", line: bool = True, **changes: Any) -> Line2D:
        """A legend entry."""
        look: dict[str, Any] = {"color": self.color, "marker": self.marker, "mew": 0.5, "lw": 1.4}
        look |= {"ls": self.line, "mec": "white"} if line else {"ls": "none", "mec": "black"}
        return Line2D([], [], label=label or self.label, **(look | changes))


SOLID, DASHED, DOTTED, DASH_DOT = "-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))
LIMIT_COLOR = "#000000"
TEXT_COLOR = "#444444"
WARNING_COLOR = "#B00020"

# Column and page width, in inches, of a two-column paper; figures are drawn at print size, so that
# text has the sizes in RC.
COLUMN, PAGE = 3.4, 7.0
FORMATS = ("pdf", "svg", "png")
SHADE = 0.7  # of the colour of a method that is given its costs
LIMIT_LINE: dict[str, Any] = {"color": LIMIT_COLOR, "lw": 1.0, "ls": (0, (4, 3))}


# Computer Modern where installed, else Times as in STIX
SERIF = ("CMU Serif", "Latin Modern Roman", "STIXGeneral")  # the last comes with matplotlib


# The suite's own variants come first, in Okabe and Ito's colours: warm for unsafe ones, cold for
# safe ones.
METHODS = {
    name: MethodStyle(LABELS[name], *look)
    for name, look in {
        "dreamerv3": ("#D55E00", DASHED, "s"),
        "cem": ("#E69F00", DOTTED, "D"),
        "osrp": ("#56B4E9", SOLID, "^"),
        "osrp_lag": ("#0072B2", DASH_DOT, "v"),
        "bsrp_lag": ("#009E73", SOLID, "o"),
        "lambda": ("#A26AF7", SOLID, "P"),
        "safe_slac": ("#751810", DASHED, "X"),
        "ppo": ("#7E87A0", DASHED, "<"),
        "ppo_lag": ("#FF849E", SOLID, "<"),
        "trpo": ("#77BD54", DASHED, ">"),
        "trpo_lag": ("#4BDE86", DASH_DOT, ">"),
        "cpo": ("#0946A4", SOLID, "p"),
        "focops": ("#C05A59", DOTTED, "h"),
        "cppo_pid": ("#D72830", DASH_DOT, "d"),
        "omnisafe_sac_lag": ("#383234", DOTTED, "*"),
    }.items()
}

# For names without an entry above: 10 colours x 4 lines, then the same with other markers; no
# colour of METHODS is among them.
_SPARE_COLORS = (
    "#7F3C8D", "#11A579", "#3969AC", "#A5682A", "#80BA5A", "#E68310", "#008695", "#CF1C90",
    "#4B4B8F", "#5E6B73",
)  # fmt: skip
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
    "pdf.fonttype": 42,  # TrueType, as publishers require; also keeps the text searchable
    "svg.fonttype": "none",
    "svg.hashsalt": "safedreamer",
}


def use_fonts(latex: bool) -> None:
    """Set the typeface of all figures built and saved from now on: that of LaTeX, which need not be
    installed, or matplotlib's default.
    """
    for name in ("font.family", "mathtext.fontset"):
        RC.pop(name, None)
    if latex:
        from matplotlib.font_manager import fontManager  # local: reads a list of all fonts

        installed = set(fontManager.get_font_names())
        family = [name for name in SERIF if name in installed]
        RC["font.family"] = [*family, "DejaVu Sans"]  # for characters that the others lack
        RC["mathtext.fontset"] = "stix" if family[0] == SERIF[-1] else "cm"


def context() -> AbstractContextManager[None]:
    """Context with matplotlib's settings for building and saving a figure.

    The caller's settings are restored afterwards.
    """
    return matplotlib.rc_context(RC)


def symlog(axes: Axes, which: Literal["x", "y"], linear: float, ticks: Sequence[float]) -> None:
    """A logarithmic axis above `linear`, with plain numbers at these ticks and no others."""
    {"x": axes.set_xscale, "y": axes.set_yscale}[which]("symlog", linthresh=linear, linscale=0.7)
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(FixedLocator([]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def limit_line(axes: Axes, limit: float, *, across: bool = False, text: str = "") -> None:
    """A dashed line at a cost limit with its label, `limit 2` if no text is given."""
    (axes.axvline if across else axes.axhline)(limit, zorder=5, gid="cost limit", **LIMIT_LINE)
    transform = axes.get_xaxis_transform() if across else axes.get_yaxis_transform()
    place = (limit, 1.0) if across else (1.0, limit)
    offset = (2, -2) if across else (-1, 1.5)
    axes.annotate(
        text or f"limit {limit:g}", place, xycoords=transform, xytext=offset,
        textcoords="offset points",
        ha="left" if across else "right", va="top" if across else "bottom", fontsize=6,
        color=LIMIT_COLOR, gid="limit label", zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
    )  # fmt: skip


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """The look of each method, in drawing order.

    Known methods always look the same and come first, in the order of METHODS. Unknown names and
    variants of methods get a spare look by a hash of the name, so that they too keep their colour
    from figure to figure; if two names of one call collide, the alphabetically later one takes the
    next free colour, or the next free look where all colours are taken.
    """
    names = method_order(methods)
    styles = {name: look for name in names if (look := _own(name))}
    looks = [(color, line) for line in _SPARE_LINES for color in _SPARE_COLORS]
    taken: set[int] = set()
    for position, name in enumerate(name for name in names if name not in styles):
        # colours and lines repeat after 40 names, with another marker
        turn, place = divmod(position, len(looks))
        if not place:
            taken.clear()
        start = zlib.crc32(name.encode())
        places = ((start + step) % len(looks) for step in range(len(looks)))
        free = [index for index in places if index not in taken]
        colors = {index % len(_SPARE_COLORS) for index in taken}
        index = next((i for i in free if i % len(_SPARE_COLORS) not in colors), free[0])
        taken.add(index)
        shift = 3 * (index // len(_SPARE_COLORS)) + turn  # of the markers of one colour
        marker = _SPARE_MARKERS[(index + shift) % len(_SPARE_MARKERS)]
        styles[name] = MethodStyle(method_label(name), *looks[index], marker)
    return styles


def _own(name: str) -> MethodStyle | None:
    """The look of METHODS, in a darker shade where costs are given; None for another name."""
    method, given, variant = split_label(name)
    if variant or method not in METHODS:
        return None
    if not given:
        return METHODS[method]
    color = to_hex([SHADE * part for part in to_rgb(METHODS[method].color)])
    return METHODS[method]._replace(label=method_label(name), color=color)


def plain_text(figure: Figure) -> Figure:
    """Turn off math text except for numbers on axes: a `$` in a name would begin a formula."""
    texts = FixedFormatter | FuncFormatter | StrCategoryFormatter
    ticks = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            named = isinstance(axis.get_major_formatter(), texts)
            ticks += [*(() if named else axis.get_major_ticks()), *axis.get_minor_ticks()]
    numbers = {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        if id(text) not in numbers:
            text.set_parse_math(False)  # type: ignore[attr-defined]
    return figure


def save(
    figure: Figure, stem: str | os.PathLike[str], formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write the figure to `stem` in each format and return the files.

    The same figure gives the same bytes.
    """
    undated = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    stem = Path(stem)
    files = [stem.parent / f"{stem.name}.{name}" for name in formats]
    plain_text(figure)
    with context():
        figure.draw_without_rendering()
        # lay out once: the slowest part, and the same for every format
        figure.set_layout_engine("none")
        for file, name in zip(files, formats):
            figure.savefig(file, metadata=undated[name])
    return files


def svg_text(figure: Figure) -> str:
    """The figure as SVG; text stays text, in the reader's own sans-serif font."""
    buffer = io.StringIO()
    plain_text(figure)
    with context():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
