"""The interface of executors.

Run folders decide what is done; an executor only reports how processes ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.runs.reading import DamagedFile
from benchmarks.sweep.members import where


class Job(NamedTuple):
    """A run to start: its folder, its snapshot of the code, and the memory it needs."""

    folder: Path
    code: Path
    memory_bytes: int
    family: str = ""  # of its method; some families need their own Python
    after: Path | None = None  # run folder of the canary, which must be done first


class Ended(NamedTuple):
    """A job that has left the executor.

    `exit` is None where nothing was started, and -N for a process killed by signal N.

    `recorded`: its end is in the folder's attempts.jsonl already.
    """

    job: Job
    exit: int | None
    reason: str
    recorded: bool = False


def needless(job: Job) -> Ended | None:
    """The end of a job that must not start, or None where it may.

    Another process may have changed its folder meanwhile: the run is done, running or cancelled, or
    its files are damaged.
    """
    state = where(job.folder)
    if isinstance(state, DamagedFile):
        return Ended(job, None, str(state))
    if state in ("done", "running", "cancelled"):
        return Ended(job, None, f"{state} elsewhere")
    return None


class Executor(Protocol):
    """Runs jobs, with its own order and concurrency."""

    @property
    def poll_seconds(self) -> float:
        """Seconds to wait between two polls."""
        ...

    @property
    def depends(self) -> bool:
        """Whether it resolves the dependencies of jobs (`Job.after`) itself."""
        ...

    @property
    def outstanding(self) -> int:
        """Number of jobs waiting or running."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs. Returns at once."""
        ...

    def poll(self) -> list[Ended]:
        """Jobs that ended since the last call; also starts those that can start."""
        ...

    def cancel(self, folders: Iterable[Path]) -> None:
        """Drop these runs if waiting; if running, have them save and exit."""
        ...

    def close(self) -> list[Ended]:
        """Drop waiting jobs, have those that depend on this process save and exit, and wait for
        them.
        """
        ...
