"""What a sweep asks of an executor, and nothing more.

Run folders decide what is done; an executor only reports what became of processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.runs.reading import DamagedFile
from benchmarks.sweep.members import where


class Job(NamedTuple):
    """A run to start: its folder, the snapshot of the code that it runs, and the memory it
    needs.
    """

    folder: Path
    code: Path
    memory_bytes: int
    family: str = ""  # of its method: some need a Python of their own
    after: Path | None = None  # the canary, a run folder that must be done first


class Ended(NamedTuple):
    """A job that the executor no longer has.

    `exit` is None where nothing was started, negative for the signal that killed it.

    `recorded` says that attempts.jsonl of its folder has this end already.
    """

    job: Job
    exit: int | None
    reason: str
    recorded: bool = False


def needless(job: Job) -> Ended | None:
    """The end of a job that must not start, since someone else may have been at its folder: its run
    is done, running or cancelled, or its files are damaged. None where it may start.
    """
    state = where(job.folder)
    if isinstance(state, DamagedFile):
        return Ended(job, None, str(state))
    if state in ("done", "running", "cancelled"):
        return Ended(job, None, f"{state} elsewhere")
    return None


class Executor(Protocol):
    """Runs jobs, in its own order and number at a time."""

    @property
    def poll_seconds(self) -> float:
        """How long to wait between two polls."""
        ...

    @property
    def depends(self) -> bool:
        """Whether it holds jobs back itself until those that they come after are done."""
        ...

    @property
    def outstanding(self) -> int:
        """Jobs that wait or run."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take jobs in. Returns at once."""
        ...

    def poll(self) -> list[Ended]:
        """What ended since the last call; starts what can be started."""
        ...

    def cancel(self, folders: Iterable[Path]) -> None:
        """Forget these where they wait and ask them to save and end where they run."""
        ...

    def close(self) -> list[Ended]:
        """Forget what waits, have everything that depends on this process save and end, and wait
        for it.
        """
        ...
