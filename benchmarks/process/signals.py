"""Stop a run on signals from a user or a scheduler.

The run ends after its current iteration, with a checkpoint and its own exit status.

Python runs signal handlers between two bytecodes of the main thread, which a compilation by XLA
blocks for a minute. Signal numbers therefore go through a socket to a separate thread, which can
also end the process if the loop does not finish its iteration in time: that only loses the work
since the last checkpoint, which the resumed run repeats exactly.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Self

EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: not an error; the same command continues
EXIT_AT_ONCE = 130  # what shells report for SIGINT
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
GRACE_SECONDS = 7.0
RECENT = 20  # iterations


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Block signals, so that processes started in this context are not ended while they import.

    Signals stay pending until the process calls `let_through`; in this thread, until the context
    ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Unblock signals; pending ones are delivered."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)


class Stop:
    """Whether a run should end; called after every iteration and during evaluations.

    The base class never stops a run.
    """

    def __call__(self) -> bool:
        return False

    def iterated(self, seconds: float) -> None:
        """Call after an iteration, with its duration."""

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Context in which a checkpoint is written."""
        yield


class OnSignal(Stop):
    """Stops the run on SIGTERM, SIGINT, SIGUSR1 or SIGUSR2.

    A SIGINT after another signal ends the process at once.

    The process has `grace_seconds`, or 1.5 times the median duration of an iteration if longer, to
    finish its iteration, and then the time to write the checkpoint. Use as a context manager in the
    main thread. `end` ends the process (for tests).
    """

    def __init__(
        self, grace_seconds: float = GRACE_SECONDS, end: Callable[[int], None] = os._exit
    ) -> None:
        self.name: str | None = None  # of the first signal
        self._grace_seconds, self._end = grace_seconds, end
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._saving, self._over = threading.Lock(), threading.Event()
        self._before: dict[signal.Signals, Any] = {}  # signal -> its handler

    def __call__(self) -> bool:
        return self.name is not None

    def iterated(self, seconds: float) -> None:
        self._recent.append(seconds)

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        with self._saving:
            yield

    def __enter__(self) -> Self:
        self._ours, theirs = socket.socketpair()
        self._theirs = theirs
        theirs.setblocking(False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in HEARD}
        self._wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()
        let_through()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._theirs.close()  # ends the thread

    def _listen(self) -> None:
        while data := self._ours.recv(1):
            number = data[0]
            if number not in HEARD:
                continue
            if self.name is None:
                self.name = signal.Signals(number).name
                _say(f"{self.name}: saving after this step; Ctrl-C ends at once")
                threading.Thread(target=self._deadline, name="deadline", daemon=True).start()
            elif number == signal.SIGINT:
                _say("ended at once; the same command continues from the last checkpoint")
                self._end(EXIT_AT_ONCE)

    def _deadline(self) -> None:
        """End a process that does not finish its iteration, but never during a checkpoint."""
        # not the maximum, which includes compilation
        usual = statistics.median(self._recent) if self._recent else 0.0
        seconds = max(self._grace_seconds, 1.5 * usual)
        if self._over.wait(seconds):
            return
        with self._saving:
            if self._over.wait(1.0):  # a checkpoint was just written, and the process is ending
                return
            _say(
                f"no end of the step within {seconds:g} s (it compiles); ended, the same "
                "command continues from the last checkpoint"
            )
            self._end(EXIT_STOPPED)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
