"""What a person sees while a run trains, or something else takes long.

A live line on a terminal, otherwise plain lines.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from rich.progress import BarColumn, Progress, TextColumn
from rich.progress import track as rich_track

from benchmarks.runs.status import State, estimated_end

T = TypeVar("T")


class Snapshot(NamedTuple):
    """Where a run stands.

    Returns and costs are means over recent episodes, None before the first.
    """

    env_steps: int
    total_env_steps: int
    wall_seconds: float
    env_steps_per_second: float
    train: tuple[float, float] | None  # return, cost
    evaluation: tuple[float, float] | None
    losses: dict[str, float]
    state: State = "train"
    max_seconds: float = math.inf  # of wall clock, after which the run ends wherever it stands

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the steps are done or the time is up; None while nothing is known."""
        missing, speed = max(0, self.total_env_steps - self.env_steps), self.env_steps_per_second
        seconds = min(
            missing / speed if speed > 0 else math.inf,
            max(0.0, self.max_seconds - self.wall_seconds),
        )
        return seconds if math.isfinite(seconds) else None

    def status(self) -> dict[str, Any]:
        """The same as fields of benchmarks.runs.status.Status."""
        pairs = {"train": self.train or (None, None), "eval": self.evaluation or (None, None)}
        return {
            "state": self.state,
            "env_steps": self.env_steps,
            "env_steps_per_second": round(self.env_steps_per_second, 1),
            "estimated_end": estimated_end(self.eta_seconds),
            **{
                f"{name}_{what}": value
                for name, pair in pairs.items()
                for what, value in zip(("return", "cost"), pair, strict=True)
            },
        }


class Speed:
    """Simulator steps per second over the last minute, pauses for compiling and evaluating
    included.
    """

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

    def evaluated(self, snapshot: Snapshot) -> None:
        """An evaluation is done; `snapshot.evaluation` is its."""
        ...

    def say(self, text: str) -> None:
        """Something that has to be read."""
        ...

    def close(self) -> None: ...


_DOING = {"evaluate": "evaluating", "save": "saving"}


def describe(s: Snapshot) -> str:
    """One line: steps, speed, time left, returns and costs, losses."""
    parts = [f"{s.env_steps:,}/{s.total_env_steps:,} sim steps", f"{s.env_steps_per_second:.0f}/s"]
    parts.append(
        f"{_clock(s.wall_seconds)} gone"
        + ("" if s.eta_seconds is None else f", {_clock(s.eta_seconds)} left")
    )
    for name, pair in (("train", s.train), ("eval", s.evaluation)):
        if pair is not None:
            parts.append(f"{name} return {pair[0]:.2f} cost {pair[1]:.1f}")
    parts += [f"{name} {value:.3g}" for name, value in s.losses.items()]
    if s.state in _DOING:
        parts.append(_DOING[s.state])
    return " | ".join(parts)


def describe_evaluation(s: Snapshot) -> str:
    """The line of an evaluation: steps, its means beside those of training, time."""
    mean_return, mean_cost = s.evaluation or (float("nan"), float("nan"))
    parts = [
        f"{s.env_steps:>11,} sim steps",
        f"evaluation: return {mean_return:7.2f}, cost {mean_cost:6.1f}",
    ]
    if s.train is not None:
        parts.append(f"training: return {s.train[0]:7.2f}, cost {s.train[1]:6.1f}")
    return " | ".join([*parts, f"{_clock(s.wall_seconds)} gone"])


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

    def evaluated(self, snapshot: Snapshot) -> None:
        print(f"{self._label}: {describe_evaluation(snapshot)}", flush=True)

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
        columns = (
            TextColumn("{task.fields[label]}"),
            BarColumn(20),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, refresh_per_second=4)
        self._task = self._bar.add_task("starting: first steps compile", total=1, label=label)
        self._bar.start()

    def update(self, snapshot: Snapshot) -> None:
        self._bar.update(
            self._task,
            description=describe(snapshot),
            completed=snapshot.env_steps,
            total=snapshot.total_env_steps,
        )

    def evaluated(self, snapshot: Snapshot) -> None:
        self._bar.console.print(describe_evaluation(snapshot), markup=False, highlight=False)

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bar.stop()


class Silent:
    """For tests and library use."""

    def update(self, snapshot: Snapshot) -> None:
        del snapshot

    def evaluated(self, snapshot: Snapshot) -> None:
        del snapshot

    def say(self, text: str) -> None:
        del text

    def close(self) -> None:
        pass


def reporter(label: str, every_seconds: float = 15.0) -> Reporter:
    """A live line when stdout is a terminal, plain lines otherwise."""
    return Live(label) if sys.stdout.isatty() else Lines(label, every_seconds)


def track(items: Iterable[T], label: str, total: int, every_seconds: float = 15.0) -> Iterator[T]:
    """The items, and a bar on a terminal, otherwise a line every few seconds.

    Nothing is printed of what is quicker than that.
    """
    if sys.stdout.isatty():
        yield from rich_track(items, label, total, transient=True)
        return
    next_line = time.monotonic() + every_seconds
    for done, item in enumerate(items):
        if time.monotonic() >= next_line:
            print(f"{label}: {done}/{total}", flush=True)
            next_line = time.monotonic() + every_seconds
        yield item
