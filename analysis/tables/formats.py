"""Tables as text: CSV, Markdown pipes, LaTeX with booktabs.

Cells are plain text; `**` around a whole cell makes it bold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

NONE = "–"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "≤": r"$\le$",
    "∞": r"$\infty$",
    "†": r"$^\dagger$",
}  # fmt: skip


def csv_text(table: pd.DataFrame) -> str:
    """Comma-separated values with six significant digits; empty for missing values."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def markdown(
    head: Sequence[str], rows: Sequence[Sequence[object]], task_of: pd.DataFrame | None = None
) -> str:
    """A pipe table; a bar inside a cell is escaped.

    Args: task_of, rows with `task` and `obs`: the column Task is left out if they have only one.
    """
    alone = task_of is not None and not several_tasks(task_of)
    keep = [place for place, name in enumerate(head) if not (alone and name == "Task")]
    lines = [[str(line[place]).replace("|", "\\|") for place in keep] for line in (head, *rows)]
    lines.insert(1, ["---"] * len(keep))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(head: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str] = ()) -> str:
    """A tabular with booktabs rules, first column left-aligned, the rest centred.

    A rule separates rows where the text of the first column changes. Needs
    `\\usepackage{booktabs}`. Notes follow below in a smaller size.
    """
    columns = "l" + "c" * (len(head) - 1)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(head), r"\midrule"]
    for number, row in enumerate(rows):
        if number and row[0] != rows[number - 1][0] and row[0] != "":
            lines.append(r"\midrule")
        lines.append(_line(row))
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [r"\par{\footnotesize " + escape(note) + "}" for note in notes]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Plain text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def number(value: float, digits: int, unit: str = "") -> str:
    """The number with `digits` digits after the point; a dash for NaN.

    With six or more `digits`, six significant digits without trailing zeros.
    """
    if pd.isna(value):
        return NONE
    if np.isinf(value):
        return "∞" if value > 0 else "-∞"
    value = 0.0 if value == 0 else value  # turns -0 into 0
    return (f"{value:g}" if digits >= 6 else f"{value:.{digits}f}") + unit


def plus_minus(mean: float, half: float, digits: int = 2) -> str:
    """Mean ± half width; only the mean if there is no interval."""
    return number(mean, digits) if pd.isna(half) else f"{mean:.{digits}f} ± {half:.{digits}f}"


def interval(value: float, low: float, high: float) -> str:
    """Value [low, high]; only the value if there is no interval."""
    return number(value, 2) if pd.isna(low) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def steps(low: float, high: float) -> str:
    """A number of simulator steps, or a range of them."""
    if pd.isna(high) or high == 0:
        return NONE
    return f"{high:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def several_tasks(rows: pd.DataFrame) -> bool:
    """Whether a table of these rows must name tasks: they have several tasks or observations."""
    return len(rows[["task", "obs"]].drop_duplicates()) > 1


def _line(cells: Sequence[object]) -> str:
    return " & ".join(_cell(str(cell)) for cell in cells) + r" \\"


def _cell(text: str) -> str:
    whole = re.fullmatch(r"\*\*(.*)\*\*", text)
    return r"\textbf{" + escape(whole.group(1)) + "}" if whole else escape(text)
