"""Adapts a replay buffer of OmniSafe to agents.replay.journal: a save writes only new rows."""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from omnisafe.common.buffer import OffPolicyBuffer

from agents.api import ArraySpec
from agents.replay.journal import SavedMark


class SavedBuffer:
    """Rows of one stream, counted from the start of the run.

    Row r is in slot r % slots, as written by OmniSafe.
    """

    num_streams = 1

    def __init__(self, buffer: OffPolicyBuffer) -> None:
        self._data: dict[str, torch.Tensor] = {
            key: value.squeeze(1)
            if value.ndim > 1 and value.shape[1] == 1 and hasattr(buffer, "num_envs")
            else value
            for key, value in buffer.data.items()
        }
        self.slots: int = buffer.max_size
        self.specs = {
            key: ArraySpec(tuple(value.shape[1:]), "float32") for key, value in self._data.items()
        }
        self.added = 0
        self.saved: SavedMark | None = None
        self._store = buffer.store
        vars(buffer)["store"] = self._counted

    def _counted(self, **data: torch.Tensor) -> None:
        self._store(**data)
        self.added += 1

    @property
    def held(self) -> int:
        """Number of rows held."""
        return min(self.added, self.slots)

    def read_rows(self, first: int, stop: int) -> dict[str, np.ndarray]:
        """Rows first..stop-1, [1, n, ...]."""
        slots = torch.arange(first, stop) % self.slots
        return {
            key: value[slots.to(value.device)].cpu().numpy()[None]
            for key, value in self._data.items()
        }

    def write_rows(self, first: int, rows: Mapping[str, np.ndarray]) -> None:
        """Write rows [1, n, ...] back, starting at row `first`."""
        for key, value in self._data.items():
            slots = torch.arange(first, first + rows[key].shape[1]) % self.slots
            value[slots.to(value.device)] = torch.as_tensor(
                np.array(rows[key][0]), device=value.device
            )

    def clear(self) -> None:
        """Remove all rows."""
        self.added = 0
