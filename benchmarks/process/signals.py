"""Signals of a person or a scheduler.

End the run after its iteration, with a checkpoint and a status of its own.

Python runs its handlers between two bytecodes of the main thread, which a compilation by XLA keeps
busy for a minute. So the signal numbers go through a pipe to a thread of their own, which can also
end the process where the loop does not come to its next iteration in time: nothing is lost then but
work since the last checkpoint, which the resumed run repeats exactly.
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
from types import FrameType
from typing import Self

EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: not an error; the same command continues
EXIT_AT_ONCE = 130  # what shells report for SIGINT
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
GRACE_SECONDS = 7.0
RECENT = 20  # iterations


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Processes started in this context are not ended by signals to the whole job while they still
    import.

    The signals wait until the process asks for them (`let_through`). For this thread they wait
    until the context ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Have signals that were held back come, and all later ones."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)


class Stop:
    """Whether a run should end, asked after every iteration and inside evaluations.

    This one never asks for it.
    """

    def __call__(self) -> bool:
        return False

    def iterated(self, seconds: float) -> None:
        """An iteration took so long."""

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """A checkpoint is being written."""
        yield


class OnSignal(Stop):
    """Asks the run to end on SIGTERM, SIGINT, SIGUSR1 or SIGUSR2.

    A second SIGINT ends the process at once.

    The process has `grace_seconds`, or 1.5 times what an iteration usually takes here, to reach the
    end of its iteration, and then the time that writing the checkpoint needs. For the main thread,
    as a context manager. `end` ends the process (for tests).
    """

    def __init__(
        self, grace_seconds: float = GRACE_SECONDS, end: Callable[[int], None] = os._exit
    ) -> None:
        self.name: str | None = None  # of the signal that came first
        self._grace_seconds, self._end = grace_seconds, end
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._saving, self._over = threading.Lock(), threading.Event()
        self._before: dict[
            signal.Signals, Callable[[int, FrameType | None], object] | int | None
        ] = {}

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
                print(
                    f"{self.name}: saving after this step; Ctrl-C ends at once",
                    file=sys.stderr,
                    flush=True,
                )
                threading.Thread(target=self._deadline, name="deadline", daemon=True).start()
            elif number == signal.SIGINT:
                print(
                    "ended at once; the same command continues from the last checkpoint",
                    file=sys.stderr,
                    flush=True,
                )
                self._end(EXIT_AT_ONCE)

    def _deadline(self) -> None:
        """End a process that does not come to its next iteration, but never in the middle of a
        checkpoint.
        """
        # not the longest: that one compiled
        usual = statistics.median(self._recent) if self._recent else 0.0
        seconds = max(self._grace_seconds, 1.5 * usual)
        if self._over.wait(seconds):
            return
        with self._saving:
            if self._over.wait(1.0):  # a checkpoint was just written, and the process is ending
                return
            print(
                f"no end of the step within {seconds:g} s (it compiles); ended, the same "
                "command continues from the last checkpoint",
                file=sys.stderr,
                flush=True,
            )
            self._end(EXIT_STOPPED)
