"""What a person sees while a run trains: a live line on a terminal, otherwise a plain line every few seconds."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import NamedTuple, Protocol

from rich.progress import BarColumn, Progress, TextColumn


class Snapshot(NamedTuple):
    """Where a run stands. Returns and costs are means over recent episodes, None before the first."""

    env_steps: int
    total_env_steps: int
    wall_seconds: float
    env_steps_per_second: float
    train: tuple[float, float] | None  # return, cost
    evaluation: tuple[float, float] | None
    losses: dict[str, float]
    phase: str = "train"

    @property
    def eta_seconds(self) -> float | None:
        if self.env_steps_per_second <= 0:
            return None
        return max(0, self.total_env_steps - self.env_steps) / self.env_steps_per_second


class Speed:
    """Simulator steps per second over the last minute, pauses for compiling and evaluating included."""

    def __init__(self, window_seconds: float = 60.0) -> None:
        self._window_seconds = window_seconds
        self._points: deque[tuple[float, int]] = deque()

    def __call__(self, seconds: float, env_steps: int) -> float:
        """Note where the run is, and say how fast it got there; 0 while nothing is known."""
        self._points.append((seconds, env_steps))
        while len(self._points) > 2 and seconds - self._points[1][0] >= self._window_seconds:
            self._points.popleft()
        then, steps_then = self._points[0]
        return (env_steps - steps_then) / (seconds - then) if seconds > then else 0.0

    def forget(self) -> None:
        self._points.clear()


class Reporter(Protocol):
    """Takes snapshots as often as the loop likes to send them."""

    def update(self, snapshot: Snapshot) -> None: ...

    def say(self, text: str) -> None:
        """Something that has to be read."""
        ...

    def close(self) -> None: ...


def describe(s: Snapshot) -> str:
    """One line: steps, speed, time left, returns and costs, losses."""
    parts = [f"{s.env_steps:,}/{s.total_env_steps:,} sim steps", f"{s.env_steps_per_second:.0f}/s"]
    parts.append(f"{_clock(s.wall_seconds)} gone" + ("" if s.eta_seconds is None else f", {_clock(s.eta_seconds)} left"))
    for name, pair in (("train", s.train), ("eval", s.evaluation)):
        if pair is not None:
            parts.append(f"{name} return {pair[0]:.2f} cost {pair[1]:.1f}")
    parts += [f"{name} {value:.3g}" for name, value in s.losses.items()]
    if s.phase != "train":
        parts.append(s.phase)
    return " | ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Lines:
    """A plain line at most every `every_seconds`, and one at the end."""

    def __init__(self, label: str, every_seconds: float = 15.0) -> None:
        self._label = label
        self._every = every_seconds
        self._next = time.monotonic()
        self._unprinted: Snapshot | None = None

    def update(self, snapshot: Snapshot) -> None:
        self._unprinted = snapshot
        if time.monotonic() >= self._next:
            self._print()

    def say(self, text: str) -> None:
        print(f"{self._label}: {text}", flush=True)

    def _print(self) -> None:
        if self._unprinted is not None:
            print(f"{self._label}: {describe(self._unprinted)}", flush=True)
            self._unprinted = None
            self._next = time.monotonic() + self._every

    def close(self) -> None:
        self._print()


class Live:
    """A bar and the same line, redrawn in place."""

    def __init__(self, label: str) -> None:
        columns = TextColumn("{task.fields[label]}"), BarColumn(20), TextColumn("{task.description}")
        self._bar = Progress(*columns, refresh_per_second=4)
        self._task = self._bar.add_task("starting: first steps compile", total=1, label=label)
        self._bar.start()

    def update(self, snapshot: Snapshot) -> None:
        self._bar.update(
            self._task, description=describe(snapshot), completed=snapshot.env_steps, total=snapshot.total_env_steps
        )

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bar.stop()


class Silent:
    """For tests and library use."""

    def update(self, snapshot: Snapshot) -> None:
        del snapshot

    def say(self, text: str) -> None:
        del text

    def close(self) -> None:
        pass


def reporter(label: str, every_seconds: float = 15.0) -> Reporter:
    """A live line when stdout is a terminal, plain lines otherwise."""
    return Live(label) if sys.stdout.isatty() else Lines(label, every_seconds)
