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

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from agents.replay.buffer import Draw, Replay


class _Request:
    """A batch in flight: a `draw` until copied, then a `batch`."""

    def __init__(self, update: int, draw: Draw):
        self.update = update
        self.draw = draw
        self.oldest = int(draw.starts.min())
        self.copied = False  # out of the replay
        self.done = False  # and passed through device_put
        self.urgent = False
        self.batch: Any = None


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
        if batch_size < 1 or length < 1:
            raise ValueError(f"batch_size={batch_size} and length={length} must be at least 1")
        self._replay = replay
        self._batch_size = batch_size
        self._length = length
        self._seed = seed
        self._depth = depth
        self._device_put = device_put
        self._requests: deque[_Request] = deque()  # in order of request; consumed from the left
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._failed_update: int | None = None
        self._closed = False
        replay.add_guard(self._guard)
        self._thread = threading.Thread(target=self._work, name="replay-prefetch", daemon=True)
        self._thread.start()

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
            with self._changed:
                self._raise_if_dead()
                self._requests.append(_Request(int(update), draw))
                self._changed.notify_all()

    def next(self) -> tuple[int, Any]:
        """Wait for the oldest request and return its (update, batch).

        Raises RuntimeError if nothing was requested.
        """
        with self._changed:
            self._raise_if_dead()
            if not self._requests:
                raise RuntimeError("no batch was requested: call request(update) before next()")
            head = self._requests[0]
            self._changed.wait_for(lambda: head.done or self._error is not None or self._closed)
            self._raise_if_dead()
            self._requests.popleft()
            self._changed.notify_all()
            return head.update, head.batch

    def close(self) -> None:
        """Stop the thread and drop waiting batches.

        Does not raise an exception of the thread; later calls do.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._requests.clear()
        self._replay.remove_guard(self._guard)

    def _raise_if_dead(self) -> None:
        if self._error is not None:
            raise RuntimeError(
                f"sampling the batch of update {self._failed_update} failed"
            ) from self._error
        if self._closed:
            raise RuntimeError("this Prefetch is closed")

    def _guard(self, oldest: int) -> None:
        """Block until no waiting draw needs a row before `oldest`."""
        with self._changed:
            blocking = [
                request
                for request in self._requests
                if not request.copied and request.oldest < oldest
            ]
            if not blocking:
                return
            last = blocking[-1]
            # copies are made in order, so all before the last one are urgent too
            for request in self._requests:
                request.urgent = True
                if request is last:
                    break
            self._changed.notify_all()
            self._changed.wait_for(lambda: last.copied or self._error is not None or self._closed)
            self._raise_if_dead()

    def _claim(self) -> _Request | None:
        """The first request to copy, if `depth` or urgency allows."""
        for finished, request in enumerate(self._requests):
            if not request.done:
                return request if finished < self._depth or request.urgent else None
        return None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._claim() is not None)
                if self._closed:
                    return
                request = self._claim()
                assert request is not None
            try:
                batch = self._replay.gather(request.draw)
                with self._changed:
                    request.copied = True
                    self._changed.notify_all()
                request.batch = batch if self._device_put is None else self._device_put(batch)
            except BaseException as error:  # noqa: BLE001
                # raised in the caller's thread
                with self._changed:
                    self._error, self._failed_update = error, request.update
                    self._changed.notify_all()
                return
            with self._changed:
                request.done = True
                self._changed.notify_all()
