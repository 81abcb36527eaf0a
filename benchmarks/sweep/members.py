"""The runs of a results folder and where each stands, from their folders alone.

`spec.json`, `status.json`, `attempts.jsonl` and `sweep.json` (suites that ask for the run, its
variant, its tags) are all there is. Reading imports neither JAX nor a simulator, so that a thousand
runs take less than a second.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from benchmarks.runs import attempts
from benchmarks.runs.attempts import Event
from benchmarks.runs.files import ATTEMPTS_FILE, SPEC_FILE, STATUS_FILE, SWEEP_FILE
from benchmarks.runs.heartbeat import DEAD_AFTER_SECONDS, file_clock, modified
from benchmarks.runs.ownership import died
from benchmarks.runs.reading import DamagedFile, expect, read_object
from benchmarks.runs.spec import BadInput, read_spec
from benchmarks.runs.status import Status, read_status
from benchmarks.suites.names import label

Standing: TypeAlias = Literal["done", "running", "waiting", "failed", "stale", "cancelled"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
RUNS = "runs"
LOG_FILE = "log.txt"


@dataclasses.dataclass(frozen=True)
class Member:
    """A run of a results folder."""

    folder: Path
    run_id: str
    spec: dict[str, Any]  # as spec.json has it
    suites: tuple[str, ...]  # that ask for it
    variant: str
    tags: tuple[str, ...]
    status: Status | None  # None: it never started
    events: list[Event]
    standing: Standing

    @property
    def label(self) -> str:
        """Method, and variant where there is one."""
        return label(self.spec["method"], self.variant)

    @property
    def env_steps(self) -> int:
        """Simulator steps that it has trained for."""
        return self.status.env_steps if self.status else 0

    @property
    def steps(self) -> int:
        """Simulator steps it shall train for."""
        return self.spec["steps"]

    @property
    def shown(self) -> str:
        """Its standing for a person: one that its time budget ended says so."""
        timed = (
            self.standing == "done"
            and self.status is not None
            and self.status.state == "out_of_time"
        )
        return "done (time)" if timed else self.standing

    def reason(self) -> str:
        """Why it failed, was cancelled or fell silent; "" for all else."""
        if self.standing == "cancelled":
            return next((e.reason for e in reversed(self.events) if e.event == "cancelled"), "")
        if self.standing == "stale" and self.status:
            return (
                f"no heartbeat from process {self.status.pid} on {self.status.host} since "
                f"{self.status.heartbeat}"
            )
        if self.standing != "failed":
            return ""
        ended = next((e for e in reversed(self.events) if e.event == "ended"), None)
        error = self.status.last_error if self.status and self.status.state == "failed" else None
        return error or (ended.reason if ended else "") or "unknown"


class Budget(NamedTuple):
    """What ends a run: simulator steps, or minutes of wall clock (None: no such limit)."""

    steps: int
    minutes: float | None = None

    def spent(self, status: Status) -> bool:
        """Whether the run ended because nothing of it was left."""
        if status.state == "out_of_time":
            ended = status.max_minutes if status.max_minutes is not None else 0.0
            return self.minutes is not None and self.minutes <= ended
        return status.state == "finished" and status.env_steps >= self.steps


class Found(NamedTuple):
    """What a results folder holds.

    Runs sorted by name, and one error for each run whose files are damaged.
    """

    members: list[Member]
    damaged: dict[Path, DamagedFile]  # by run folder


def look(out: str | os.PathLike[str]) -> Found:
    """Every run of a results folder; a run folder is a results folder of one.

    Raises BadInput when there is no such folder or it holds no runs.
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
    """Runs of a results folder that may not exist yet."""
    out = Path(out)
    return _found(_run_folders(out / RUNS), file_clock(out / RUNS))


def members(out: str | os.PathLike[str]) -> list[Member]:
    """Like `look`. Raises DamagedFile for the first run whose files are damaged."""
    out = Path(out)
    return _whole(look(out))


def existing(out: str | os.PathLike[str]) -> list[Member]:
    """Like `look_for`. Raises DamagedFile for the first run whose files are damaged."""
    out = Path(out)
    return _whole(look_for(out))


def _whole(found: Found) -> list[Member]:
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
    """The run in that folder; `now` is its file system's time.

    Raises DamagedFile for files that cannot be read.
    """
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
    place = standing(budget, status, events, beats, later)
    if place == "running" and died(folder):  # without waiting until its heartbeat is old
        place = standing(budget, status, events, False, later)
    return Member(folder, saved["run_id"], spec, *about, status, events, place)


def where(folder: str | os.PathLike[str]) -> Standing | DamagedFile:
    """Where a run stands, or what is wrong with its files.

    For who deals with many runs and must go on.
    """
    folder = Path(folder)
    try:
        return member(folder).standing
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


def standing(
    budget: Budget, status: Status | None, events: list[Event], beats: bool, later: bool
) -> Standing:
    """Where a run of that budget stands.

    `beats`: its heartbeat is fresh, `later`: the last event is younger than that.

    A heartbeat says that it runs, unless an executor saw its process end since; all else is decided
    by what happened last: its own final state or an executor's.
    """
    last = events[-1] if events and later else None
    seen_to_end = (
        last is not None
        and next((e.event for e in reversed(events) if e.event in ("started", "ended")), "")
        == "ended"
    )
    if status is not None and beats and not status.ended and not seen_to_end:
        return "running"
    if status is not None and budget.spent(status):
        return "done"
    if attempts.cancelled(events):
        return "cancelled"
    if last is not None:
        return "failed" if last.failed else "waiting"
    if status is None or status.state in ("stopped", "out_of_time", "finished"):
        return "waiting"
    return "failed" if status.state == "failed" else "stale"
