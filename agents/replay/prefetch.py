"""Batches gathered ahead of the learner in one background thread, reproducibly.

The rows of update u are drawn in the caller's thread by `request(u)`, from
np.random.default_rng([seed, u]) and the rows held at that moment: they depend on the order of `add`
and `request` only, never on timing. The thread merely copies. Slots of a waiting draw are not
overwritten: `Replay.add` blocks until the copy is made.

At most `depth` finished batches wait for the learner. Draws are small and may queue without bound;
one that blocks `add` is copied beyond `depth` (otherwise a caller that adds before it consumes
would deadlock).
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from agents.replay.buffer import Draw, Replay


class _Request:
    """A draw, and its batch once the thread was asked for it."""

    def __init__(self, update: int, draw: Draw):
        self.update = update
        self.draw = draw
        self.oldest = int(draw.starts.min())
        self.copied = threading.Event()  # out of the replay, or failed
        self.batch: Future[Any] | None = None


class Prefetch:
    """Samples from `replay` ahead of the learner.

    Args:
        batch_size, length: B and T of every batch.
        seed: determines all draws, together with the update index.
        depth: finished batches that may wait for the learner.
        device_put: called in the thread with the batch (dict of [B, T, ...]); its result is what
            `next` returns.
    An exception in the thread is raised by the next call, with the original as its cause. Use as a
    context manager.
    """

    def __init__(
        self,
        replay: Replay,
        batch_size: int,
        length: int,
        seed: int,
        depth: int = 2,
        device_put: Callable[[dict[str, np.ndarray]], Any] | None = None,
    ):
        if depth < 1:
            raise ValueError(f"depth={depth} must be at least 1")
        self._replay = replay
        self._batch_size = batch_size
        self._length = length
        self._seed = seed
        self._depth = depth
        self._device_put = device_put
        self._requests: deque[_Request] = deque()  # in order of request; consumed from the left
        self._closed = False
        self._thread = ThreadPoolExecutor(1, "replay-prefetch")
        replay.add_guard(self._guard)

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Requests not yet consumed.

        Save a checkpoint only at zero: waiting draws are not part of it.
        """
        return len(self._requests)

    def request(self, updates: int | Iterable[int]) -> None:
        """Draw the batches of these updates from the rows held now.

        They are copied in the background.
        """
        for update in [updates] if isinstance(updates, int | np.integer) else updates:
            rng = np.random.default_rng([self._seed, int(update)])
            draw = self._replay.draw(self._batch_size, self._length, rng)
            self._check()
            self._requests.append(_Request(int(update), draw))
            self._start(self._depth)

    def next(self) -> tuple[int, Any]:
        """Wait for the oldest request and return its (update, batch).

        Raises RuntimeError if nothing was requested.
        """
        self._check()
        if not self._requests:
            raise RuntimeError("no batch was requested: call request(update) before next()")
        (batch,) = self._start(1)
        batch.exception()  # wait
        self._check()
        head = self._requests.popleft()
        self._start(self._depth)
        return head.update, batch.result()

    def close(self) -> None:
        """Stop the thread and drop waiting batches.

        Does not raise an exception of the thread; later calls do.
        """
        if not self._closed:
            self._closed = True
            self._thread.shutdown(cancel_futures=True)
            self._requests.clear()
            self._replay.remove_guard(self._guard)

    def _check(self) -> None:
        """Raise RuntimeError after `close`, or if a batch failed."""
        if self._closed:
            raise RuntimeError("this Prefetch is closed")
        for request in self._requests:
            if request.batch is None or not request.batch.done():
                return  # nor is any after it
            if error := request.batch.exception():
                raise RuntimeError(
                    f"sampling the batch of update {request.update} failed"
                ) from error

    def _guard(self, oldest: int) -> None:
        """Block until no waiting draw needs a row before `oldest`."""
        self._check()
        needed = [
            place
            for place, request in enumerate(self._requests, start=1)
            if request.oldest < oldest and not request.copied.is_set()
        ]
        if needed:
            self._start(needed[-1])  # copies are made in order
            self._requests[needed[-1] - 1].copied.wait()
            self._check()

    def _start(self, count: int) -> list[Future[Any]]:
        """The batches of the first `count` requests, which the thread now copies."""
        batches = []
        for request in itertools.islice(self._requests, count):
            if request.batch is None:
                request.batch = self._thread.submit(self._copy, request)
            batches.append(request.batch)
        return batches

    def _copy(self, request: _Request) -> Any:
        try:
            batch = self._replay.gather(request.draw)
        finally:
            request.copied.set()
        return batch if self._device_put is None else self._device_put(batch)
