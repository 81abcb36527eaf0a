"""Batches of jobs: what was submitted to Slurm, in the results folder.

A batch is a folder `slurm/NAME` of the results folder, whose `batch.json` lists its runs by index
and is written before the jobs are submitted under that name. So whoever asks later, after the
submitter's death too, finds every queued run again, and nothing is submitted twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.runs.reading import DamagedFile, expect, is_a, read_object

FOLDER, BATCH_FILE, OVER_FILE = "slurm", "batch.json", "over"


def folder(out: Path, name: str) -> Path:
    """Of a batch; its jobs leave their logs there."""
    return out / FOLDER / name


def create(out: Path, runs: Sequence[tuple[str, int]]) -> str:
    """A new batch of runs, each a run folder and its number of events; returns its name."""
    name = f"safedreamer-{uuid.uuid4().hex[:12]}"
    folder(out, name).mkdir()
    text = json.dumps({"runs": runs}) + "\n"
    (folder(out, name) / BATCH_FILE).write_text(text, encoding="utf-8")
    return name


def close(out: Path, name: str) -> None:
    """Mark a batch none of whose jobs is still to come, so that nobody asks for it again."""
    (folder(out, name) / OVER_FILE).touch()


def read(out: str | os.PathLike[str]) -> dict[str, list[tuple[str, int]]]:
    """Run folder and its number of events, by index, of each batch that may not be over.

    Raises DamagedFile, rather than to lose a batch: its runs would be submitted twice.
    """
    out = Path(out)
    found = {}
    for path in sorted((out / FOLDER).glob(f"*/{BATCH_FILE}")):
        if not (path.parent / OVER_FILE).exists():
            batch = read_object(path)
            expect(batch, {"runs": list[list]}, path)
            if not all(
                len(run) == 2 and is_a(run[0], str) and is_a(run[1], int) for run in batch["runs"]
            ):
                raise DamagedFile(path, None, "its runs are no pairs of a folder and a number")
            found[path.parent.name] = [(name, count) for name, count in batch["runs"]]
    return found


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """One submitter at a time, as far as the file system has locks.

    Without them two may submit a run twice; its job checks again.
    """
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    with (out / FOLDER / "submit.lock").open("w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
