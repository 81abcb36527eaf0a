"""Loads the arrays of a recording's .npz."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np


class RecordingError(ValueError):
    """A recording lacks an array that its other arrays require."""


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Load all arrays of an .npz in the order in which they were written."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def require(arrays: Iterable[str], path: Path, names: Iterable[str]) -> None:
    """Raise RecordingError unless every name is present."""
    held = list(arrays)
    missing = [name for name in names if name not in held]
    if missing:
        raise RecordingError(
            f"{path.name} lacks {', '.join(missing)}; it holds {', '.join(held[:60])}"
        )
