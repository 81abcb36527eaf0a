"""`status.json`: where a run stands, for people and for tools that watch many runs.

Written atomically while the run lives.

Two clocks tell a dead process from a stuck one: `heartbeat` comes from a thread of its own,
`progressed` from the training loop. Times are UTC, ISO 8601, by the clock of the run's host: for
people. Whether a run lives is decided by benchmarks.runs.heartbeat. Reading needs neither JAX nor
the run's process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from benchmarks.runs.files import STATUS_FILE
from benchmarks.runs.spec import BadInput, RunSpec

State: TypeAlias = Literal["starting", "train", "evaluate", "save", "stopped", "finished", "failed"]
BEAT_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Status:
    """Where a run stands.

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
    progressed: str  # when the loop last said where it is
    estimated_end: str | None
    train_return: float | None
    train_cost: float | None
    eval_return: float | None
    eval_cost: float | None
    host: str
    pid: int
    last_error: str | None

    @property
    def ended(self) -> bool:
        """Whether its process said a last word."""
        return self.state in ("stopped", "finished", "failed")


def read_status(folder: Path) -> Status:
    """The run's status. Raises BadInput when there is none, or none that this version can read."""
    path = folder / STATUS_FILE
    try:
        return Status(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BadInput(f"{folder} has no {STATUS_FILE}: no run was started there") from error
    except (json.JSONDecodeError, TypeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def utc_now() -> str:
    """The time, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class StatusFile:
    """Keeps the run's status.json up to date.

    On `update`, and with a heartbeat every `beat_seconds` from a thread.

    Used as a context manager: an exception that passes becomes `last_error` of a failed run.
    `on_beat` runs with every heartbeat; what it raises ends all writing, because the folder may be
    another's, and is kept for `check`, because a thread cannot stop the run. A heartbeat that
    cannot be written (full disk, a file system that is away for a moment) is tried again with the
    next.
    """

    def __init__(
        self,
        folder: Path,
        spec: RunSpec,
        beat_seconds: float = BEAT_SECONDS,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = folder / STATUS_FILE
        self._beat_seconds, self._on_beat = beat_seconds, on_beat
        now = utc_now()
        self._status = Status(
            spec.run_id,
            spec.method,
            spec.task,
            spec.obs,
            spec.seed,
            "starting",
            env_steps=0,
            total_env_steps=spec.steps,
            env_steps_per_second=0.0,
            updates=0,
            started=now,
            heartbeat=now,
            progressed=now,
            estimated_end=None,
            train_return=None,
            train_cost=None,
            eval_return=None,
            eval_cost=None,
            host=socket.gethostname(),
            pid=os.getpid(),
            last_error=None,
        )
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._trouble: Exception | None = None
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def update(self, **changes: Any) -> None:
        """Set fields of the status and write it."""
        self._write(progressed=utc_now(), **changes)

    def check(self) -> None:
        """Raise what a heartbeat met."""
        if self._trouble is not None:
            raise self._trouble

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_seconds):
            try:
                self._on_beat()
            except Exception as error:  # noqa: BLE001 (raised in the loop's thread by `check`)
                self._trouble = error
                return
            self._write()

    def _write(self, **changes: Any) -> None:
        with self._lock:
            if self._trouble is not None:
                return
            self._status = dataclasses.replace(self._status, heartbeat=utc_now(), **changes)
            temporary = self._path.with_name(f".{STATUS_FILE}.{os.getpid()}.tmp")
            try:
                temporary.write_text(
                    json.dumps(dataclasses.asdict(self._status), indent=1) + "\n", encoding="utf-8"
                )
                os.replace(temporary, self._path)
            except OSError:  # the run matters more than the word about it
                temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is not None:
            words = str(error).strip() or type(error).__name__
            self._write(
                state="stopped" if isinstance(error, KeyboardInterrupt) else "failed",
                last_error=words,
            )


def estimated_end(seconds_left: float | None) -> str | None:
    """The time in so many seconds, None where that is unknown."""
    if seconds_left is None:
        return None
    return (datetime.now(UTC) + timedelta(seconds=seconds_left)).isoformat(timespec="seconds")
