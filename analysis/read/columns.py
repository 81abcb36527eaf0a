"""Columns of an Arrow table as NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """Every column by name; rows of a dictionary-encoded one share their strings."""
    import pyarrow as pa

    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            texts = np.array(column.dictionary.to_pylist(), dtype=object)
            columns[name] = texts[column.indices.to_numpy()]
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
    return columns
