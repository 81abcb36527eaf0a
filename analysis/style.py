"""How methods look: one colour, line and marker per method in every figure, display names, and matplotlib's settings.

Colours are those of Okabe and Ito ("Color Universal Design", 2008) and, for the many baselines, of Paul Tol's "muted" scheme:
both stay apart under the common colour-vision deficiencies. Line style and marker differ as well, so that figures stay readable
in grey.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import matplotlib


class MethodStyle(NamedTuple):
    """The look of one method."""

    label: str
    color: str
    line: Any  # matplotlib line style: a name or (offset, on-off sequence)
    marker: str


SOLID, DASHED, DOTTED, DASH_DOT = "-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))
LIMIT_COLOR = "#000000"
TEXT_COLOR = "#444444"

# The suite's own variants come first and keep Okabe and Ito's colours; unsafe ones are warm, safe ones are cold.
METHODS: dict[str, MethodStyle] = {
    "dreamerv3": MethodStyle("DreamerV3 (unsafe)", "#D55E00", DASHED, "s"),
    "cem": MethodStyle("CEM (unsafe)", "#E69F00", DOTTED, "D"),
    "osrp": MethodStyle("OSRP", "#56B4E9", SOLID, "^"),
    "osrp_lag": MethodStyle("OSRP-Lag", "#0072B2", DASH_DOT, "v"),
    "bsrp_lag": MethodStyle("BSRP-Lag", "#009E73", SOLID, "o"),
    "lambda": MethodStyle("LAMBDA", "#CC79A7", SOLID, "P"),
    "safe_slac": MethodStyle("Safe SLAC", "#882255", DASHED, "X"),
    "ppo": MethodStyle("PPO", "#999933", DASHED, "<"),
    "ppo_lag": MethodStyle("PPO-Lag", "#DDCC77", SOLID, "<"),
    "trpo": MethodStyle("TRPO", "#117733", DASHED, ">"),
    "trpo_lag": MethodStyle("TRPO-Lag", "#44AA99", DASH_DOT, ">"),
    "cpo": MethodStyle("CPO", "#332288", SOLID, "p"),
    "focops": MethodStyle("FOCOPS", "#AA4499", DOTTED, "h"),
    "cppo_pid": MethodStyle("CPPO-PID", "#CC6677", DASH_DOT, "d"),
    "sac_lag": MethodStyle("SAC-Lag", "#888888", DOTTED, "*"),
}

# For names without an entry above: 10 colours x 4 lines; no colour of METHODS is among them.
_SPARE_COLORS = ("#7F3C8D", "#11A579", "#3969AC", "#A5682A", "#80BA5A", "#E68310", "#008695", "#CF1C90", "#4B4B8F", "#5E6B73")
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
    """Matplotlib's settings for building and for saving a figure; leaves the caller's own settings alone."""
    return matplotlib.rc_context(RC)


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """The look of each method, in drawing order.

    Known methods always look the same and come first in the order of METHODS. An unknown name gets a spare look chosen by its
    own spelling, so it too keeps its colour from figure to figure; only when two unknown names of one call fall on the same
    look does the alphabetically later one move to the next free one.
    """
    names = set(methods)
    styles = {name: style for name, style in METHODS.items() if name in names}
    looks = [(color, line) for line in _SPARE_LINES for color in _SPARE_COLORS]
    taken: set[int] = set()
    for name in sorted(names - METHODS.keys()):
        if len(taken) == len(looks):
            raise ValueError(f"more than {len(looks)} methods without a style of their own; add them to analysis.style.METHODS")
        start = zlib.crc32(name.encode()) % len(looks)
        index = next(i % len(looks) for i in range(start, start + len(looks)) if i % len(looks) not in taken)
        taken.add(index)
        styles[name] = MethodStyle(name, *looks[index], _SPARE_MARKERS[index % len(_SPARE_MARKERS)])
    return styles


def method_label(method: str) -> str:
    """Display name; the name itself where none is known."""
    return METHODS[method].label if method in METHODS else method


def task_label(task: str, obs: str) -> str:
    """Panel title: `SafetyPointGoal1-v0`, `coordinates` -> `PointGoal1 (coordinates)`."""
    short = task.removeprefix("Safety").rsplit("-v", 1)[0]
    return f"{short} ({obs})" if obs else short
