"""Collects the rows of a cell's episodes: the policy's observations and actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.envs import Step


class Visited:
    """Rows of running episodes; pass `add` as `on_step` of `run_episodes`."""

    def __init__(self) -> None:
        self._rows: dict[int, list[dict[str, np.ndarray]]] = {}

    def add(self, step: Step, actions: np.ndarray, info: Mapping[str, np.ndarray]) -> None:
        """Keep a step and the actions [E, A] taken after it."""
        from benchmarks.training.transitions import row  # lazy: it imports JAX

        del info
        rows = row(step, actions, truncation_is_terminal=False)
        for i, episode in enumerate(step.episode.tolist()):
            one = {name: values[i] for name, values in rows.items()}
            self._rows.setdefault(episode, []).append(one)

    def windows(self, episodes: Iterable[int], length: int, stride: int) -> dict[str, np.ndarray]:
        """Windows [N, length, ...] within these episodes, `stride` rows apart; empty if all
        episodes are shorter than one window.
        """
        from benchmarks.diagnosis.diagnose import cut_windows

        parts = []
        for episode in episodes:
            rows = self._rows[episode]
            starts = np.arange(0, len(rows) - length + 1, stride)
            if len(starts):
                whole = {name: np.stack([r[name] for r in rows])[None] for name in rows[0]}
                parts.append(cut_windows(whole, starts, length))
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]} if parts else {}
