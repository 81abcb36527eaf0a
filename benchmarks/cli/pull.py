"""`safedreamer pull`: fetch a shared run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.runs.errors import BadInput
from benchmarks.sharing.fetching import fetch


@dataclasses.dataclass(frozen=True)
class PullArgs:
    """Fetch a shared run, which `evaluate`, `diagnose` and `plot` then take."""

    target: Annotated[str, tyro.conf.Positional]
    """Where it was pushed: a folder, a URL supported by fsspec, or hf://OWNER/NAME."""
    out: Annotated[Path, tyro.conf.Positional]
    """New folder for the run."""


def main(args: Sequence[str]) -> int:
    """Fetch the run and verify its checksums; returns 0."""
    chosen = parse(PullArgs, args, "safedreamer pull")
    if chosen.out.exists():
        raise BadInput(f"{chosen.out} exists: name a new folder")
    fetch(chosen.target, chosen.out)
    print(f"fetched {chosen.target} into {chosen.out}: safedreamer evaluate {chosen.out} --unseen")
    return 0
