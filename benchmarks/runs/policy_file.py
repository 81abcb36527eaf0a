"""Files of published policies: named arrays needed to act, in half precision where that changes
little.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.runs.reading import DamagedFile

TOLERANCE = 1e-3  # relative error of a policy's network outputs in half precision
ROWS, ENVS = 40, 4  # actions and unseen layouts on which outputs are compared


def halved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert floating-point arrays to float16; scalars are unchanged."""
    return {
        name: array.astype(np.float16)
        if array.ndim and np.issubdtype(array.dtype, np.floating)
        else array
        for name, array in arrays.items()
    }


def relative(here: np.ndarray, there: np.ndarray) -> float:
    """|there - here| / |here|; 0 where both are zero, infinite where only `here` is."""
    error, size = np.linalg.norm((there - here).ravel()), np.linalg.norm(here.ravel())
    return 0.0 if error == 0 else float(error / size) if size > 0 else float("inf")


def write_policy(file: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays in the order of their names: the same arrays give the same bytes."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.stem}.tmp.npz")
    np.savez_compressed(temporary, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
    os.replace(temporary, file)


def check_fits(
    arrays: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray], file: str | os.PathLike[str]
) -> None:
    """Raise DamagedFile (of `file`) for an array that `own` lacks or has in another shape, or that
    is not finite.
    """
    path = Path(file)
    if unknown := sorted(arrays.keys() - own.keys()):
        raise DamagedFile(path, None, f"the agent has no {unknown[0]}")
    for name, array in arrays.items():
        if array.shape != own[name].shape:
            raise DamagedFile(
                path, None, f"{name} is {list(array.shape)}, the agent's {list(own[name].shape)}"
            )
        if not np.isfinite(array).all():
            raise DamagedFile(path, None, f"{name} is not finite")
