"""`status.json`: state and progress of a run, for people and for tools that monitor many runs.

Written atomically while the run's process is alive.

Two timestamps distinguish a dead process from a stuck one: `heartbeat` is set by a separate thread,
`progressed` by the training loop. Times are UTC, ISO 8601, by the clock of the run's host, for
people only: benchmarks.sweep.members determines whether a run is alive. Reading needs neither JAX
nor the run's process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.files import STATUS_FILE
from benchmarks.runs.reading import DamagedFile, read_object, typed
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.writing import is_full_disk, replace_text

State: TypeAlias = Literal[
    "starting", "train", "evaluate", "save", "stopped", "out_of_time", "finished", "failed"
]
ENDED: tuple[State, ...] = ("stopped", "out_of_time", "finished", "failed")
BEAT_SECONDS = 5.0
# a process counts as dead after this long without a heartbeat
LEASE_SECONDS = 6 * BEAT_SECONDS
PATIENCE_SECONDS = LEASE_SECONDS / 2  # how long a file system may fail before the run ends itself


@dataclasses.dataclass(frozen=True)
class Status:
    """State and progress of a run.

    Returns and costs are means over recent training episodes and over the last evaluation.
    """

    run_id: str
    method: str
    task: str
    obs: str
    seed: int
    state: State
    env_steps: int
    total_env_steps: int
    env_steps_per_second: float
    updates: int
    started: str  # of this process
    heartbeat: str
    progressed: str  # last update by the training loop
    estimated_end: str | None
    train_return: float | None
    train_cost: float | None
    eval_return: float | None
    eval_cost: float | None
    host: str
    pid: int
    last_error: str | None
    max_minutes: float | None = None  # wall-clock budget of the run
    folder: str = ""  # resolved run folder; differs in a copy, where the process does not train

    @property
    def ended(self) -> bool:
        """Whether its process reached a final state."""
        return self.state in ENDED


def read_status(folder: str | os.PathLike[str]) -> Status:
    """Read status.json. Raises BadInput if there is none, DamagedFile if it is unreadable."""
    folder = Path(folder)
    path = folder / STATUS_FILE
    try:
        status = typed(Status, read_object(path), path)
    except FileNotFoundError as error:
        raise BadInput(f"{folder} has no {STATUS_FILE}: no run was started there") from error
    for name in ("heartbeat", "progressed", "started", "estimated_end"):
        text = getattr(status, name)
        try:
            if text is not None and datetime.fromisoformat(text).tzinfo is None:
                raise ValueError("it has no time zone")
        except ValueError as error:
            raise DamagedFile(path, None, f"{name} is not a time ({error})") from error
    return status


# kept from an earlier start until the loop has new values
_KEPT = ("train_return", "train_cost", "eval_return", "eval_cost")


def utc_now() -> str:
    """Current UTC time in ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class StatusFile:
    """Keeps the run's status.json up to date.

    Writes it on `update`, and with a heartbeat every `beat_seconds` from a thread.

    Use as a context manager: an exception that leaves it becomes `last_error` of a failed run.
    `on_beat` is called with every heartbeat. File system errors (OSError or a damaged file, in
    `on_beat` or while the status is written) are tolerated for `patience_seconds` and then become a
    RunFailed. That, and any other error of `on_beat`, ends all writing, because another process may
    own the folder, and is raised by `check`, because a thread cannot stop the run. A full disk
    alone does not: the loop fails on it too.

    `before` is the status of an earlier start: its returns, costs and steps are kept until the loop
    updates them.
    """

    def __init__(
        self,
        folder: Path,
        spec: RunSpec,
        beat_seconds: float = BEAT_SECONDS,
        on_beat: Callable[[], None] = lambda: None,
        before: Status | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._path = folder / STATUS_FILE
        self._beat_seconds, self._patience_seconds = beat_seconds, patience_seconds
        self._on_beat = on_beat
        now = utc_now()
        self._status = Status(
            spec.run_id,
            spec.method,
            spec.task,
            spec.obs,
            spec.seed,
            "starting",
            env_steps=before.env_steps if before else 0,
            total_env_steps=spec.steps,
            env_steps_per_second=0.0,
            updates=before.updates if before else 0,
            started=now,
            heartbeat=now,
            progressed=now,
            estimated_end=None,
            **{name: getattr(before, name, None) for name in _KEPT},
            host=socket.gethostname(),
            pid=os.getpid(),
            last_error=None,
            max_minutes=spec.max_minutes,
            folder=str(folder.resolve()),
        )
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._trouble: Exception | None = None
        self._failing_since: float | None = None  # by the monotonic clock
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def update(self, **changes: Any) -> None:
        """Set fields of the status and write it."""
        known = {
            name: value for name, value in changes.items() if value is not None or name not in _KEPT
        }
        with contextlib.suppress(OSError):  # the next heartbeat writes it
            self._write(progressed=utc_now(), **known)

    def check(self) -> None:
        """Raise the error that stopped the heartbeat, if any."""
        if self._trouble is not None:
            raise self._trouble

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_seconds):
            try:
                self._on_beat()
                self._write()
                self._failing_since = None
            except (OSError, DamagedFile) as error:
                self._trouble = self._lost_patience(error)
            except Exception as error:  # noqa: BLE001 (raised in the loop's thread by `check`)
                self._trouble = error
            if self._trouble is not None:
                return

    def _lost_patience(self, error: Exception) -> RunFailed | None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if is_full_disk(error) or now - self._failing_since < self._patience_seconds:
            return None
        return RunFailed(
            f"{self._path.parent} could not be read or written for {self._patience_seconds:g} "
            f"s ({error}); this process ends before another one takes the folder over; the "
            "same command continues from the last checkpoint"
        )

    def _write(self, **changes: Any) -> None:
        """Replace the file. On OSError, the next write includes the changes."""
        with self._lock:
            if self._trouble is not None:
                return
            self._replace(**changes)

    def _replace(self, **changes: Any) -> None:
        self._status = dataclasses.replace(self._status, heartbeat=utc_now(), **changes)
        text = json.dumps(dataclasses.asdict(self._status), indent=1)
        replace_text(self._path, f"{text}\n")

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._ended.set()
        self._thread.join()
        if error is not None:
            words = str(error).strip() or type(error).__name__
            state = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
            with contextlib.suppress(OSError):
                if self._trouble is None:
                    self._write(state=state, last_error=words)
                elif isinstance(error, RunFailed) and self._trouble is error and self._still_ours():
                    self._replace(state=state, last_error=words)

    def _still_ours(self) -> bool:
        """Whether the folder is readable again and owned by this process.

        The final state must not be written into another process's run.
        """
        try:
            self._on_beat()
        except Exception:  # noqa: BLE001 (whatever it is, nothing is written)
            return False
        return True


def estimated_end(seconds_left: float | None) -> str | None:
    """The time in `seconds_left`, or None if that is unknown."""
    if seconds_left is None:
        return None
    return (datetime.now(UTC) + timedelta(seconds=seconds_left)).isoformat(timespec="seconds")
