"""Batches of jobs: a record, in the results folder, of what was submitted to Slurm.

A batch is a folder `slurm/NAME` of the results folder, whose `batch.json` lists its runs by index
and is written before the jobs are submitted under that name. A later command thus finds every
queued run even if the submitter was killed, and nothing is submitted twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.runs.reading import DamagedFile, expect, read_object

FOLDER, BATCH_FILE, OVER_FILE = "slurm", "batch.json", "over"


def folder(out: Path, name: str) -> Path:
    """Folder of a batch, which also holds the logs of its jobs."""
    return out / FOLDER / name


def create(out: Path, runs: Sequence[tuple[str, int]]) -> str:
    """Create a batch of runs, each a run folder and its number of events; returns its name."""
    name = f"safedreamer-{uuid.uuid4().hex[:12]}"
    folder(out, name).mkdir()
    text = json.dumps({"runs": runs}) + "\n"
    (folder(out, name) / BATCH_FILE).write_text(text, encoding="utf-8")
    return name


def close(out: Path, name: str) -> None:
    """Mark a batch as over, so that it is not queried again."""
    (folder(out, name) / OVER_FILE).touch()


def read(out: str | os.PathLike[str]) -> dict[str, list[tuple[str, int]]]:
    """Run folders and their numbers of events, by index, of each batch not marked as over.

    Raises DamagedFile for a damaged batch: skipping it would submit its runs twice.
    """
    out = Path(out)
    found = {}
    for path in sorted((out / FOLDER).glob(f"*/{BATCH_FILE}")):
        if not (path.parent / OVER_FILE).exists():
            batch = read_object(path)
            expect(batch, {"runs": list[list]}, path)
            if not all([type(part) for part in run] == [str, int] for run in batch["runs"]):
                raise DamagedFile(path, None, "its runs are not pairs of a folder and a number")
            found[path.parent.name] = [(name, count) for name, count in batch["runs"]]
    return found


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Allow one submitter at a time, where the file system supports locks.

    Without locks a run may be submitted twice; its job checks again before it trains.
    """
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    with (out / FOLDER / "submit.lock").open("w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
