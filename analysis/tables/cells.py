"""Tables by column: name -> cell of a row; those of final performance are defined once for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

from analysis.results.labels import method_label, task_label
from analysis.statistics.intervals import MIN_RUNS
from analysis.tables import formats
from analysis.tables.formats import NONE, number, plus_minus, steps

Columns: TypeAlias = Mapping[str, Callable[[dict[str, Any]], object]]
# for rows of `analysis.statistics.final.performance` and published rows with the same columns
COLUMNS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "Task": lambda r: task_label(r["task"], r["obs"]),
    "Method": lambda r: method_label(r["method"]),
    "Return": lambda r: plus_minus(r["return"], r["return_half"]),
    "Cost": lambda r: plus_minus(r["cost"], r["cost_half"]),
    "Feasible seeds": lambda r: number(100.0 * r["feasible"], 0, " %"),
    "Episodes within limit": lambda r: number(100.0 * r["feasible_episodes"], 0, " %"),
    "Cost limit": lambda r: number(r["cost_limit"], 6),
    "Episodes": lambda r: str(r["episodes"]),
    "Runs": lambda r: f"{r['seeds']} of {r['runs']}",
    "Seeds": lambda r: (
        number(r["seeds"], 0)
        if r.get("published") or r["seeds"] == r["runs"]
        else f"{r['seeds']:.0f} of {r['runs']:.0f}"
    ),
    "Seed numbers": lambda r: r["seed_names"] or NONE,
    "Simulator steps": lambda r: steps(r["env_steps_min"], r["env_steps"]),
    "Minutes": lambda r: number(60.0 * r["wall_hours"], 1),
    "Protocol": lambda r: r["protocol"],
    "Source": lambda r: r["source"],
}


BOLD = ("Method", "Return", "Cost")  # what is bold in a best row


class Table(NamedTuple):
    """A table of text cells with title and notes; `best` are the indices of rows set in bold."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    title: str = ""
    best: frozenset[int] = frozenset()

    def markdown(self) -> str:
        """A pipe table followed by its notes, one per line."""
        return formats.markdown(self.head, self._marked()) + "\n" + "\n".join(self.notes) + "\n"

    def latex(self) -> str:
        """A tabular with its notes; needs booktabs."""
        return formats.latex(self.head, self._marked(), self.notes)

    def _marked(self) -> list[list[str]]:
        return [
            [
                f"**{cell}**" if place in self.best and name in BOLD else cell
                for name, cell in zip(self.head, row, strict=True)
            ]
            for place, row in enumerate(self.rows)
        ]


def listed(table: pd.DataFrame, columns: Columns, task_of: pd.DataFrame | None = None) -> str:
    """A pipe table of these columns, a line per row of the frame; `task_of` as for `markdown`."""
    rows = [[cell(row) for cell in columns.values()] for row in table.to_dict("records")]
    return formats.markdown(list(columns), rows, task_of)


def performance(table: pd.DataFrame, head: Sequence[str], k: int | None = None) -> Table:
    """Final performance with the columns `head`, and notes that explain its numbers.

    Args: k, evaluation episodes per run that were averaged, if known.
    """
    records = table.to_dict("records")
    rows = [[COLUMNS[name](row) for name in head] for row in records]
    best = frozenset(place for place, row in enumerate(records) if row["best"])
    return Table(head, rows, performance_notes(table, k, head), best=best)


def performance_notes(table: pd.DataFrame, k: int | None, head: Sequence[str]) -> list[str]:
    """Notes that explain the numbers in a table of final performance."""
    last = "last evaluation episodes" if k is None else f"last {k} evaluation episodes"
    notes = [
        f"Return and cost: means over seeds of the means of each run's {last} (fewer where a run "
        "has fewer).",
        "Within the limit: a mean cost of at most the cost limit. Feasible seeds: share of seeds "
        "whose final cost is within it.",
    ]
    if "Episodes within limit" in head:
        notes.append("Episodes within limit: share of these episodes.")
    if (table["seeds"] >= MIN_RUNS).any():
        notes.append("± is half the width of the 95 % Student-t interval over seeds.")
    if (table["seeds"] < MIN_RUNS).any():
        notes.append(
            f"Rows with fewer than {MIN_RUNS} seeds have no interval: none could be trusted."
        )
    if (table["seeds"] < table["runs"]).any():
        notes.append("Runs without evaluations, or with a diverged one, are not in the means.")
    if table["judged_on"].str.contains("frozen").any():
        notes.append(
            "Runs whose frozen policy was scored on unseen layouts after training are judged by "
            "all of those episodes instead."
        )
    if table["judged_on"].str.contains("training").any():
        notes.append("Some runs have no evaluations: their last training means count.")
    if table["best"].any():
        notes.append(
            "Bold: the highest mean return of a task among our methods whose mean cost is within "
            "the limit; never a single seed."
        )
    return notes
