"""Fetch shared runs: into a folder of the user's choice, or into the user's cache, where
`hub:TARGET` is used like a run folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.runs.errors import BadInput
from benchmarks.runs.places import check_folder, possible_path, user_cache, user_path
from benchmarks.sharing.contents import SUMS, check
from benchmarks.sharing.places import check_outside, is_url, place

HUB = "hub:"


def fetch(target: str, out: Path, option: str = "DIR") -> None:
    """Copy a shared run into the new folder `out`, completely or not at all.

    `option` names the folder in errors. Raises BadInput if there is no run, its files do not match
    their checksums, or `out` is inside of it or of another shared run.
    """
    source = place(target)
    check_folder(out, option, of_run=True)
    path = target.removeprefix("file://")
    if not is_url(path) and out.resolve().is_relative_to(user_path(path).resolve()):
        raise BadInput(
            f"{out} is inside of {target}, and would become part of it: choose another {option}"
        )
    check_outside(out, option)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".pull-") as folder:
        copy = Path(folder) / "run"
        source.get(copy)
        try:
            check(copy)
        except BadInput as error:
            raise BadInput(f"{target}: {error}") from error
        copy.rename(out)


def run_folder(name: str | os.PathLike[str]) -> Path:
    """The folder of a run given by path or as `hub:TARGET`, which is fetched into the user's cache.

    Raises BadInput if it cannot be fetched, or the path is invalid.
    """
    text = os.fspath(name)
    if text.startswith(HUB):
        return cached(text)
    if is_url(text):
        raise BadInput(f"{text} is not a folder: write {HUB}{text}")
    return possible_path(text)


def cached(name: str) -> Path:
    """The folder in the user's cache of the run at `hub:TARGET`, which is fetched if needed.

    The folder is named after the checksums of the run's files, which are read from the target each
    time: a run that was pushed again is fetched again. Raises BadInput like `fetch`.
    """
    target = name.removeprefix(HUB)
    if not target:
        raise BadInput(f"{HUB} needs the target that `safedreamer push` wrote: {HUB}TARGET")
    sums = place(target).read(SUMS)
    folder = user_cache() / "shared" / hashlib.sha256(sums).hexdigest()[:16]
    if not folder.is_dir():
        print(f"fetching {target} into {folder}", file=sys.stderr, flush=True)
        try:
            fetch(target, folder, "XDG_CACHE_HOME")
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    return folder
