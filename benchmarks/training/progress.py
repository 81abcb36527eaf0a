"""Progress display of runs and other long operations.

A live line of at most 80 columns on a terminal, plain lines otherwise. Losses are in metrics.jsonl
and shown here only on request.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.live import Live as RichLive
from rich.progress import track as rich_track
from rich.text import Text

from benchmarks.runs.status import State, estimated_end

T = TypeVar("T")


class Snapshot(NamedTuple):
    """Progress of a run.

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
    max_seconds: float = math.inf  # wall-clock limit of the run
    pauses_seconds: float = 0.0  # expected duration of the remaining evaluations

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the step or time budget is spent; None while unknown."""
        missing, speed = max(0, self.total_env_steps - self.env_steps), self.env_steps_per_second
        seconds = min(
            missing / speed + self.pauses_seconds if speed > 0 else math.inf,
            max(0.0, self.max_seconds - self.wall_seconds),
        )
        return seconds if math.isfinite(seconds) else None

    def status(self) -> dict[str, Any]:
        """The snapshot as fields of benchmarks.runs.status.Status."""
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
    """Simulator steps per second over the last minute of training, compilation and evaluation
    excluded.
    """

    def __init__(self, window_seconds: float = 60.0) -> None:
        self._window_seconds = window_seconds
        self._points: deque[tuple[float, int]] = deque()
        self._paused = 0.0

    def pause(self, seconds: float) -> None:
        """Exclude the last `seconds` from training time."""
        self._paused += seconds

    def __call__(self, seconds: float, env_steps: int) -> float:
        """Record the current progress and return the speed; 0 while unknown.

        `seconds` include pauses, which are subtracted here (`pause`).
        """
        seconds -= self._paused
        self._points.append((seconds, env_steps))
        while len(self._points) > 2 and seconds - self._points[1][0] >= self._window_seconds:
            self._points.popleft()
        then, steps_then = self._points[0]
        return (env_steps - steps_then) / (seconds - then) if seconds > then else 0.0

    def forget(self) -> None:
        self._points.clear()


class Reporter:
    """Displays snapshots, at any rate the loop sends them; this one displays nothing."""

    def update(self, snapshot: Snapshot) -> None:
        pass

    def evaluated(self, snapshot: Snapshot) -> None:
        """Show a finished evaluation, `snapshot.evaluation`."""

    def compiling(self) -> None:
        """Show that something compiles until the next update."""

    def say(self, text: str) -> None:
        """Print a message to the user."""

    def close(self) -> None:
        pass


WIDTH = 80  # columns of the live line
BAR = 12  # columns of its bar
_DOING = {"evaluate": "evaluating", "save": "saving"}


def describe(s: Snapshot, losses: bool = False) -> str:
    """A log line: steps, speed, times, returns and costs, optionally losses."""
    parts = [f"{s.env_steps:,}/{s.total_env_steps:,} sim steps", f"{s.env_steps_per_second:.0f}/s"]
    parts.append(
        f"{_clock(s.wall_seconds)} elapsed"
        + ("" if s.eta_seconds is None else f", {_clock(s.eta_seconds)} left")
    )
    for name, pair in (("train", s.train), ("eval", s.evaluation)):
        if pair is not None:
            parts.append(f"{name} return {pair[0]:.2f} cost {pair[1]:.1f}")
    parts += [f"{name} {value:.3g}" for name, value in s.losses.items() if losses]
    if s.state in _DOING:
        parts.append(_DOING[s.state])
    return " | ".join(parts)


def live_line(label: str, s: Snapshot, compiling: float | None = None, width: int = WIDTH) -> str:
    """The terminal's live line in `width` columns: name, bar, share, speed, time, last evaluation.

    `compiling` is the number of seconds since a compilation started.
    """
    share = min(1.0, s.env_steps / max(1, s.total_env_steps))
    parts = [
        f"{share:4.0%}",
        f"{s.env_steps_per_second:.0f}/s",
        f"{_clock(s.wall_seconds)} elapsed",
    ]
    if compiling is not None:
        parts.append(f"compiling ({compiling:.0f} s)")
    elif s.state in _DOING:
        parts.append(_DOING[s.state])
    elif s.eta_seconds is not None:
        parts.append(f"{_clock(s.eta_seconds)} left")
    if s.evaluation is not None:
        parts.append(f"eval {s.evaluation[0]:.2f} cost {s.evaluation[1]:.1f}")
    rest = " ".join(parts)
    room = width - len(rest) - 2
    bar = min(BAR, max(4, room - len(label)))
    done = round(bar * share)
    return f"{label[: max(0, room - bar)]} {'━' * done}{'╌' * (bar - done)} {rest}"[:width]


def describe_evaluation(s: Snapshot) -> str:
    """The log line of an evaluation: steps, means, time; at most 80 columns."""
    mean_return, mean_cost = s.evaluation or (float("nan"), float("nan"))
    parts = [
        f"{s.env_steps:>11,} sim steps",
        f"evaluation: return {mean_return:7.2f}, cost {mean_cost:6.1f}",
    ]
    return " | ".join([*parts, f"{_clock(s.wall_seconds)} elapsed"])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Lines(Reporter):
    """Prints a plain line at most every `every_seconds`, and one at the end."""

    def __init__(self, label: str, every_seconds: float = 15.0, losses: bool = False) -> None:
        self._label, self._losses = label, losses
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
            print(f"{self._label}: {describe(self._unprinted, self._losses)}", flush=True)
            self._unprinted = None
            self._next = time.monotonic() + self._every

    def close(self) -> None:
        self._print()


class Live(Reporter):
    """A terminal line redrawn in place, optionally followed by one line per loss."""

    def __init__(self, label: str, losses: bool = False) -> None:
        self._label, self._losses = label, losses
        self._snapshot: Snapshot | None = None
        self._since: float | None = None  # start of the current compilation
        self._console = Console()
        self._live = RichLive(
            get_renderable=self._text, console=self._console, refresh_per_second=4
        )
        self._live.start()

    def _text(self) -> Text:
        seconds = None if self._since is None else time.monotonic() - self._since
        width = min(WIDTH, self._console.width)
        if self._snapshot is None:
            doing = "starting" if seconds is None else f"compiling ({seconds:.0f} s)"
            return Text(f"{self._label} {doing}"[:width])
        lines = [live_line(self._label, self._snapshot, seconds, width)]
        if self._losses:
            lines += [f"  {name} {value:.3g}" for name, value in self._snapshot.losses.items()]
        return Text("\n".join(lines), no_wrap=True, overflow="crop")

    def update(self, snapshot: Snapshot) -> None:
        self._snapshot, self._since = snapshot, None

    def evaluated(self, snapshot: Snapshot) -> None:
        self._since = None
        self.say(describe_evaluation(snapshot))

    def compiling(self) -> None:
        self._since = time.monotonic()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._live.refresh()
        self._live.stop()


def reporter(label: str, every_seconds: float = 15.0, losses: bool = False) -> Reporter:
    """A live line when stdout is a terminal, plain lines otherwise."""
    return Live(label, losses) if sys.stdout.isatty() else Lines(label, every_seconds, losses)


def track(items: Iterable[T], label: str, total: int, every_seconds: float = 15.0) -> Iterator[T]:
    """Yield the items, showing a bar on a terminal, otherwise a line every few seconds.

    Without a terminal, nothing is printed before `every_seconds` have passed.
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
