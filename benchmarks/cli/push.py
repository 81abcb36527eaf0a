"""`safedreamer push`: share a trained run."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.sharing.contents import gather
from benchmarks.sharing.places import place


@dataclasses.dataclass(frozen=True)
class PushArgs:
    """Share a run: spec, records, newest checkpoint, videos of evaluations, and a card."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    target: Annotated[str, tyro.conf.Positional]
    """Folder, URL supported by fsspec (s3://BUCKET/NAME), or hf://OWNER/NAME; must be empty."""


def main(args: Sequence[str]) -> int:
    """Copy the shared files; returns 0."""
    chosen = parse(PushArgs, args, "safedreamer push")
    where = place(chosen.target)
    with tempfile.TemporaryDirectory() as folder:
        gather(chosen.run, Path(folder))
        where.put(Path(folder))
    print(f"shared {chosen.run} at {chosen.target}")
    return 0
