"""`safedreamer pull`: a run that somebody shared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.runs.errors import BadInput
from benchmarks.sharing.fetching import fetch

ABOUT = "Fetch a shared run, which `evaluate`, `diagnose` and `plot` then take."


@dataclasses.dataclass(frozen=True)
class PullArgs:
    """Which, and where to."""

    target: Annotated[str, tyro.conf.Positional]
    """Where it was pushed: a folder, a URL that fsspec knows, or hf://OWNER/NAME."""
    out: Annotated[Path, tyro.conf.Positional]
    """Folder to make."""


def main(args: Sequence[str]) -> int:
    """Fetch, check its sums, and put it in place; returns 0."""
    chosen = parse(PullArgs, args, "safedreamer pull", ABOUT)
    if chosen.out.exists():
        raise BadInput(f"{chosen.out} exists: name a new folder")
    fetch(chosen.target, chosen.out)
    print(f"fetched {chosen.target} into {chosen.out}: safedreamer evaluate {chosen.out} --unseen")
    return 0
