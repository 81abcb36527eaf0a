"""`safedreamer pull`: a run that somebody shared."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.runs.places import check_folder
from benchmarks.runs.spec import BadInput
from benchmarks.sharing.contents import check
from benchmarks.sharing.places import place

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
    source = place(chosen.target)
    check_folder(chosen.out)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.out.parent, prefix=".pull-") as folder:
        copy = Path(folder) / "run"
        source.get(copy)
        try:
            check(copy)
        except BadInput as error:
            raise BadInput(f"{chosen.target}: {error}") from error
        copy.rename(chosen.out)
    print(f"fetched {chosen.target} into {chosen.out}: safedreamer evaluate {chosen.out} --unseen")
    return 0
