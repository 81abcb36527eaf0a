"""The runs of a results folder and where each stands, from their folders alone.

`spec.json`, `status.json`, `attempts.jsonl` and `sweep.json` (suites that ask for the run, its
variant, its tags) are all there is. Reading imports neither JAX nor a simulator, so that a thousand
runs take less than a second.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from benchmarks.runs import attempts
from benchmarks.runs.attempts import Event
from benchmarks.runs.files import ATTEMPTS_FILE, SPEC_FILE, STATUS_FILE, SWEEP_FILE
from benchmarks.runs.heartbeat import DEAD_AFTER_SECONDS, file_clock, modified
from benchmarks.runs.spec import BadInput
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
        return self.status.env_steps if self.status else 0

    @property
    def steps(self) -> int:
        """Simulator steps it shall train for."""
        return self.spec["steps"]

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


def members(out: Path) -> list[Member]:
    """Every run of a results folder, sorted by name; a run folder is a results folder of one.

    Raises BadInput when there is no such folder or it holds no runs.
    """
    if not out.is_dir():
        raise BadInput(f"no folder {out}")
    if (out / SPEC_FILE).is_file():
        return [member(out)]
    found = _run_folders(out / RUNS) or _run_folders(out)
    if not found:
        raise BadInput(
            f"{out} holds no runs; `safedreamer sweep --suite NAME --out {out}` makes some"
        )
    now = file_clock(found[0].parent)
    return [member(folder, now) for folder in found]


def existing(out: Path) -> list[Member]:
    """Runs of a results folder that may not exist yet."""
    now = file_clock(out / RUNS)
    return [member(folder, now) for folder in _run_folders(out / RUNS)]


def _run_folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    return [parent / name for name in names if (parent / name / SPEC_FILE).is_file()]


def member(folder: Path, now: float | None = None) -> Member:
    """The run in that folder; `now` is its file system's time.

    Raises BadInput for files that cannot be read.
    """
    saved = _read(folder / SPEC_FILE)
    extra = _read(folder / SWEEP_FILE) if (folder / SWEEP_FILE).is_file() else {}
    status = read_status(folder) if (folder / STATUS_FILE).is_file() else None
    events = attempts.read(folder)
    beat = modified(folder / STATUS_FILE)
    beats = (file_clock(folder) if now is None else now) - beat < DEAD_AFTER_SECONDS
    later = modified(folder / ATTEMPTS_FILE) >= beat
    try:
        spec = saved["spec"]
        about = (
            tuple(extra.get("suites", ())),
            extra.get("variant", ""),
            tuple(extra.get("tags", ())),
        )
        place = standing(spec["steps"], status, events, beats, later)
        return Member(folder, saved["run_id"], spec, *about, status, events, place)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{folder / SPEC_FILE} is not the {SPEC_FILE} of a run") from error


def standing(
    steps: int, status: Status | None, events: list[Event], beats: bool, later: bool
) -> Standing:
    """Where a run of so many steps stands.

    `beats`: its heartbeat is fresh, `later`: the last event is younger than that.

    A heartbeat says that it runs, unless an executor saw its process end since; all else is decided
    by what happened last: its own last word or an executor's.
    """
    last = events[-1] if events and later else None
    seen_to_end = (
        last is not None
        and next((e.event for e in reversed(events) if e.event in ("started", "ended")), "")
        == "ended"
    )
    if status is not None and beats and not status.ended and not seen_to_end:
        return "running"
    if status is not None and status.state == "finished" and status.env_steps >= steps:
        return "done"
    if attempts.cancelled(events):
        return "cancelled"
    if last is not None:
        return "failed" if last.failed else "waiting"
    if status is None or status.state in ("stopped", "finished"):
        return "waiting"
    return "failed" if status.state == "failed" else "stale"


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadInput(f"{path} must hold an object")
    return data
