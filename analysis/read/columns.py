"""Arrow tables as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    import pyarrow as pa


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The table as a frame; rows of a dictionary-encoded column share their strings."""
    frame = table.to_pandas()
    return frame.astype(dict.fromkeys(frame.select_dtypes("category"), object))
