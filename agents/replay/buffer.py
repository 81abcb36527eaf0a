"""Uniform sequence replay over streams (DreamerV3, arXiv:2301.04104).

A ring of transitions per environment.

A sequence is T consecutive rows of one stream. It never crosses the write head of the ring; it may
cross episode boundaries, which `is_first` marks. `is_first` of its first row is returned as
recorded; learners start every sequence from their initial state regardless of it.

All streams are written in lockstep, so one counter describes the ring: `added` rows per stream, of
which the last `slots` are held. Row r (counted from the start of the run) is in slot r % slots.
uint8 stays uint8, floats are float32, flags bool. Persistence is in `journal.py`, sampling ahead of
the learner in `prefetch.py`.

Shapes: E streams; S slots per stream; B, T batch and sequence length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agents.api import ArraySpec
from agents.replay.journal import SavedMark
from agents.replay.storage import allocate, allocate_mapped, check_specs, memory_bytes

__all__ = ["Draw", "Replay", "memory_bytes"]


class Draw(NamedTuple):
    """Indices of the sequences of a batch.

    Cheap to draw, hence drawn in the caller's thread, independently of thread timing.
    """

    streams: np.ndarray  # int64 [B]
    starts: np.ndarray  # int64 [B], row numbers counted from the start of the run
    length: int


class Replay:
    """Ring buffer of transitions of `num_streams` environments.

    Args:
        specs: shape (without batch axes) and dtype of every array of a row.
        capacity: transitions over all streams; rounded down to a multiple of `num_streams`.
        num_streams: E, rows per `add`.
        directory: map the arrays to files in this directory instead of holding them in memory.
        rows: transitions that will be added at most, if fewer than `capacity`.
    Raises ReplaySizeError (naming the fix) when memory or disk is too small for what will be held.
    """

    def __init__(
        self,
        specs: Mapping[str, ArraySpec],
        capacity: int,
        num_streams: int,
        directory: str | Path | None = None,
        rows: int | None = None,
    ):
        check_specs(specs)
        if not 1 <= num_streams <= capacity:
            raise ValueError(f"num_streams={num_streams} must lie in 1..capacity={capacity}")
        self.specs = dict(specs)
        self.num_streams = num_streams
        self.slots = capacity // num_streams
        self.added = 0  # rows per stream since the start of the run
        self.saved: SavedMark | None = None
        self._guards: list[Callable[[int], None]] = []
        self._lock = None
        held = num_streams * self.slots
        rows = held if rows is None else min(held, rows)
        if directory is None:
            self._arrays = allocate(self.specs, num_streams, self.slots, rows)
        else:
            self._arrays, self._lock = allocate_mapped(
                self.specs, num_streams, self.slots, rows, Path(directory)
            )
        self._flat = {
            key: array.reshape(num_streams * self.slots, *array.shape[2:])
            for key, array in self._arrays.items()
        }

    def __len__(self) -> int:
        """Transitions held, over all streams."""
        return self.held * self.num_streams

    @property
    def held(self) -> int:
        """Rows held per stream."""
        return min(self.added, self.slots)

    def close(self) -> None:
        """Release the directory of a mapped replay to other processes.

        Nothing may be added or sampled afterwards.
        """
        self._arrays, self._flat = {}, {}
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append one row [E, ...] to every stream.

        Raises ValueError for missing or unknown keys and for wrong shapes or dtypes.
        """
        checked = self._check(rows)
        self._call_guards(self.added - self.slots + 1)
        slot = self.added % self.slots
        for key, array in self._arrays.items():
            array[:, slot] = checked[key]
        self.added += 1

    def draw(self, batch_size: int, length: int, rng: np.random.Generator) -> Draw:
        """Choose sequences, uniformly over all streams and valid starts, with replacement."""
        if batch_size < 1 or length < 1:
            raise ValueError(f"batch_size={batch_size} and length={length} must be at least 1")
        if length > self.held:
            raise ValueError(
                f"replay holds {self.held} rows per stream, of at most {self.slots}; a sequence "
                f"needs length={length}"
            )
        starts_per_stream = self.held - length + 1
        streams, offsets = np.divmod(
            rng.integers(self.num_streams * starts_per_stream, size=batch_size), starts_per_stream
        )
        return Draw(streams, self.added - self.held + offsets, length)

    def gather(self, draw: Draw) -> dict[str, np.ndarray]:
        """Copy the sequences of a draw: arrays [B, T, ...].

        Safe in another thread while a guard protects the rows (`Prefetch`).
        """
        if (
            draw.starts.min() < self.added - self.slots
            or draw.starts.max() + draw.length > self.added
        ):
            raise ValueError(
                "this draw names rows that the replay no longer holds: gather before adding "
                "more rows"
            )
        slots = (draw.starts[:, None] + np.arange(draw.length)) % self.slots
        rows = draw.streams[:, None] * self.slots + slots
        return {key: np.take(flat, rows, axis=0) for key, flat in self._flat.items()}

    def sample(
        self, batch_size: int, length: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """A batch of arrays [B, T, ...]: `gather` of a `draw`."""
        return self.gather(self.draw(batch_size, length, rng))

    def add_guard(self, guard: Callable[[int], None]) -> None:
        """Register `guard(oldest)`, called before rows are overwritten.

        It must block until no reader needs rows older than `oldest`.
        """
        self._guards.append(guard)

    def remove_guard(self, guard: Callable[[int], None]) -> None:
        self._guards.remove(guard)

    def read_rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Copies of rows start..stop-1 of all streams, arrays [E, stop - start, ...]."""
        if not self.added - self.held <= start <= stop <= self.added:
            raise ValueError(
                f"rows {start}..{stop} are not held, {self.added - self.held}..{self.added} are"
            )
        slots = np.arange(start, stop) % self.slots
        return {key: array[:, slots] for key, array in self._arrays.items()}

    def clear(self) -> None:
        """Remove all rows."""
        self._call_guards(self.added)
        self.added = 0
        self.saved = None

    def write_rows(self, start: int, rows: Mapping[str, np.ndarray]) -> None:
        """Write rows [E, n, ...] into the slots of rows start..start+n-1, n <= S.

        Only for restoring: `added` is set afterwards.
        """
        slots = np.arange(start, start + rows[next(iter(self.specs))].shape[1]) % self.slots
        for key, array in self._arrays.items():
            array[:, slots] = rows[key]

    def _call_guards(self, oldest: int) -> None:
        for guard in self._guards:
            guard(oldest)

    def _check(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        missing, unknown = self.specs.keys() - rows.keys(), rows.keys() - self.specs.keys()
        if missing or unknown:
            raise ValueError(
                f"replay row: missing {sorted(missing)}, unknown {sorted(unknown)}; a row consists "
                f"of {sorted(self.specs)}"
            )
        checked = {}
        for key, spec in self.specs.items():
            value, shape = np.asarray(rows[key]), (self.num_streams, *spec.shape)
            if value.shape != shape:
                raise ValueError(
                    f"replay row {key!r} has shape {value.shape}, expected {shape} (streams first)"
                )
            wider_float = spec.dtype == "float32" and value.dtype.kind in "fiu"
            if value.dtype != spec.dtype and not wider_float:
                raise ValueError(
                    f"replay row {key!r} has dtype {value.dtype}, expected {spec.dtype}: "
                    "convert it before adding"
                )
            checked[key] = value
        return checked
