"""The runs of a results folder and the state of each, from their folders alone.

Reads `spec.json`, `status.json`, `attempts.jsonl` and `sweep.json` (suites that contain the run,
its variant, its tags). Imports neither JAX nor a simulator, so that a thousand runs take less than
a second.

Clocks of hosts differ, so times are compared by the file system's clock: every heartbeat replaces
status.json, whose modification time is that of the last heartbeat; the current time is that of a
newly created file.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.runs import attempts
from benchmarks.runs.attempts import Event
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import ATTEMPTS_FILE, SPEC_FILE, STATUS_FILE, SWEEP_FILE
from benchmarks.runs.ownership import died
from benchmarks.runs.reading import DamagedFile, expect, read_object
from benchmarks.runs.spec_file import read_spec
from benchmarks.runs.status import Status, read_status
from benchmarks.suites.names import label

RUNS = "runs"
LOG_FILE = "log.txt"
DEAD_AFTER_SECONDS = 60.0  # without a heartbeat; far longer than a busy file system delays one


def file_clock(folder: Path) -> float:
    """Current time of the folder's file system, in seconds since 1970.

    If the folder is not writable, the time of this host, whose clock may differ.
    """
    try:
        handle, probe = tempfile.mkstemp(prefix=".clock-", dir=folder)
    except OSError:
        return time.time()
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        os.unlink(probe)


def modified(path: Path) -> float:
    """Modification time of a file, in seconds since 1970. Minus infinity if it is missing."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("-inf")


class State(StrEnum):
    """States of a run, in the order in which they are counted."""

    DONE = "done"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    STALE = "stale"
    CANCELLED = "cancelled"


@dataclasses.dataclass(frozen=True)
class Member:
    """A run of a results folder."""

    folder: Path
    run_id: str
    spec: dict[str, Any]  # as in spec.json
    suites: tuple[str, ...]  # that contain it
    variant: str
    tags: tuple[str, ...]
    status: Status | None  # None: it never started
    events: list[Event]
    state: State

    @property
    def label(self) -> str:
        """Method, and variant where there is one."""
        return label(self.spec["method"], self.variant)

    @property
    def env_steps(self) -> int:
        """Simulator steps trained so far."""
        return self.status.env_steps if self.status else 0

    @property
    def steps(self) -> int:
        """Simulator steps to train for."""
        return self.spec["steps"]

    @property
    def shown(self) -> str:
        """The state for display: `done (time)` if the time budget ended the run."""
        timed = self.status is not None and self.status.state == "out_of_time"
        return "done (time)" if timed and self.state == State.DONE else self.state

    def reason(self) -> str:
        """Why it failed, was cancelled or is stale; "" for all else."""
        if self.state == State.CANCELLED:
            cancelled = attempts.last(self.events, "cancelled")
            return cancelled.reason if cancelled else ""
        if self.state == State.STALE and self.status:
            return (
                f"no heartbeat from process {self.status.pid} on {self.status.host} since "
                f"{self.status.heartbeat}"
            )
        if self.state != State.FAILED:
            return ""
        ended = attempts.last(self.events, "ended")
        error = self.status.last_error if self.status and self.status.state == "failed" else None
        return error or (ended.reason if ended else "") or "unknown"


class Budget(NamedTuple):
    """What ends a run: simulator steps, or minutes of wall clock (None: no such limit)."""

    steps: int
    minutes: float | None = None

    def spent(self, status: Status) -> bool:
        """Whether the run ended because this budget was used up."""
        if status.state == "out_of_time":
            ended = status.max_minutes if status.max_minutes is not None else 0.0
            return self.minutes is not None and self.minutes <= ended
        return status.state == "finished" and status.env_steps >= self.steps


class Found(NamedTuple):
    """Runs of a results folder, sorted by name, and an error for each run with damaged files."""

    members: list[Member]
    damaged: dict[Path, DamagedFile]  # by run folder


def look(out: str | os.PathLike[str]) -> Found:
    """Find all runs of a results folder; a run folder counts as a results folder with one run.

    Raises BadInput if there is no such folder or it holds no runs.
    """
    out = Path(out)
    if not out.is_dir():
        raise BadInput(f"no folder {out}")
    if _there(out / SPEC_FILE):
        return _found([out], None)
    folders = _run_folders(out / RUNS) or _run_folders(out)
    if not folders:
        raise BadInput(
            f"{out} holds no runs; `safedreamer sweep --suite NAME --out {out}` makes some"
        )
    return _found(folders, file_clock(folders[0].parent))


def look_for(out: str | os.PathLike[str]) -> Found:
    """Find the runs of a results folder that may not exist yet."""
    out = Path(out)
    return _found(_run_folders(out / RUNS), file_clock(out / RUNS))


def members(out: str | os.PathLike[str]) -> list[Member]:
    """Like `look`. Raises DamagedFile for the first run whose files are damaged."""
    found = look(out)
    for error in found.damaged.values():
        raise error
    return found.members


def _found(folders: list[Path], now: float | None) -> Found:
    found = Found([], {})
    for folder in folders:
        try:
            found.members.append(member(folder, now))
        except DamagedFile as error:
            found.damaged[folder] = error
    return found


def _run_folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    return [parent / name for name in names if _there(parent / name / SPEC_FILE)]


def member(folder: str | os.PathLike[str], now: float | None = None) -> Member:
    """Read the run in a folder; `now` is its file system's time. Raises DamagedFile."""
    folder = Path(folder)
    saved = read_spec(folder)
    spec = saved["spec"]
    about = _about(folder / SWEEP_FILE)
    status = read_status(folder) if _there(folder / STATUS_FILE) else None
    events = attempts.read(folder)
    beat = modified(folder / STATUS_FILE)
    beats = (file_clock(folder) if now is None else now) - beat < DEAD_AFTER_SECONDS
    later = modified(folder / ATTEMPTS_FILE) >= beat
    budget = Budget(spec["steps"], spec.get("max_minutes"))
    state = state_of(budget, status, events, beats, later)
    if state == State.RUNNING and died(folder):  # without waiting until its heartbeat is old
        state = state_of(budget, status, events, False, later)
    return Member(folder, saved["run_id"], spec, *about, status, events, state)


def where(folder: str | os.PathLike[str]) -> State | DamagedFile:
    """The state of a run, or the damage of its files, for callers that continue with other runs."""
    folder = Path(folder)
    try:
        return member(folder).state
    except DamagedFile as error:
        return error


def _about(file: Path) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Suites, variant and tags."""
    try:
        extra = read_object(file)
    except FileNotFoundError:
        return (), "", ()
    expect(extra, {"suites": list[str], "variant": str, "tags": list[str]}, file)
    return tuple(extra["suites"]), extra["variant"], tuple(extra["tags"])


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def state_of(
    budget: Budget, status: Status | None, events: list[Event], beats: bool, later: bool
) -> State:
    """The state of a run with that budget.

    `beats`: its heartbeat is fresh; `later`: the last event is newer than the heartbeat.

    A fresh heartbeat means that it is running, unless an executor has recorded the end of its
    process since; otherwise the latest decides: its own final state or an executor's event.
    """
    last = events[-1] if events and later else None
    process = attempts.last(events, "started", "ended")
    seen_to_end = last is not None and process is not None and process.event == "ended"
    if status is not None and beats and not status.ended and not seen_to_end:
        return State.RUNNING
    if status is not None and budget.spent(status):
        return State.DONE
    if attempts.cancelled(events):
        return State.CANCELLED
    if last is not None:
        return State.FAILED if last.failed else State.WAITING
    if status is None or status.state in ("stopped", "out_of_time", "finished"):
        return State.WAITING
    return State.FAILED if status.state == "failed" else State.STALE
