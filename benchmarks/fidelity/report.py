"""Formats one line per compared quantity, and the verdict on a whole comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-3  # largest error as a share of the reference's largest magnitude


class Row(NamedTuple):
    """A compared quantity; errors are maxima over its elements, `note` explains any criterion other
    than the tolerance. By default it could not be compared.
    """

    quantity: str
    shape: tuple[int, ...]
    abs_error: float = np.inf
    rel_error: float = np.inf
    ok: bool = False
    note: str = ""


def compare(quantity: str, ours: object, reference: object, tolerance: float = TOLERANCE) -> Row:
    """Largest absolute error, and that error relative to the reference's largest magnitude
    (absolute if the reference is zero).

    Relative errors of single elements are meaningless where the reference crosses zero.
    """
    a, b = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if a.shape != b.shape:
        return Row(quantity, b.shape, note=f"our shape is {a.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Row(quantity, b.shape, note="not finite")
    absolute = float(np.abs(a - b).max(initial=0.0))
    scale = float(np.abs(b).max(initial=0.0))
    relative = absolute / scale if scale > 0 else absolute
    return Row(quantity, b.shape, absolute, relative, relative <= tolerance)


def compare_columns(
    prefix: str, names: Sequence[str], ours: np.ndarray, reference: np.ndarray
) -> list[Row]:
    """Compare the columns of two tables [U, len(names)] one by one."""
    return [
        compare(f"{prefix}/{name}", ours[:, i], reference[:, i]) for i, name in enumerate(names)
    ]


def format_table(rows: Iterable[Row]) -> str:
    """Format rows as an aligned text table with a verdict per row."""
    lines = [f"{'quantity':44} {'shape':>20} {'abs error':>10} {'rel error':>10}  verdict"]
    for row in rows:
        shape = "x".join(map(str, row.shape)) or "scalar"
        verdict = "ok" if row.ok else "OFF"
        lines.append(
            f"{row.quantity:44} {shape:>20} {row.abs_error:10.2e} {row.rel_error:10.2e}  "
            f"{verdict} {row.note}".rstrip()
        )
    return "\n".join(lines)
