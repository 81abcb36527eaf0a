"""Load all results at or below the given paths as one `Results`.

Our run folders, exported Parquet files, runs of other programs.

Nothing found is dropped silently: see `analysis.results.frames`. A folder's format follows from the
files in it; `analysis.read.foreign` has the formats of other programs, and
`analysis.read.foreign.table` reads any CSV file with a map of its columns.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis.read import folders, foreign, parquet
from analysis.read.foreign.common import unreadable
from analysis.results.assemble import merge
from analysis.results.frames import OURS, Part, Results
from benchmarks.runs.plain_text import did_you_mean, one_line
from benchmarks.runs.reading import DamagedFile

# marks a folder that `safedreamer plot` wrote: its episodes.csv is not a run
REPORT_FILE = "report.json"


def load(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str], parts: Iterable[Part] = ()
) -> Results:
    """Every run at or below the given folders, of the given Parquet files (`safedreamer export`),
    and of `parts`, which were read by other means.

    Raises FileNotFoundError for a missing folder, ValueError for a file that is not an export, if
    no path is given, and if there is no run at or below the paths.
    """
    found: dict[Path, tuple[str, str]] = {}  # folder -> name, format
    read = list(parts)
    roots = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(p) for p in paths]
    for path in roots:
        if path.is_file() and path.suffix == ".parquet":
            read.append(parquet.read(path))
            continue
        if not path.is_dir():
            raise FileNotFoundError(_no_folder(path))
        for folder, kind in _run_folders(path):
            name = Path(path.resolve().name, folder.relative_to(path)).as_posix()
            found.setdefault(folder.resolve(), (name, kind))
    if not found and not read:
        given = ", ".join(map(str, roots))
        raise ValueError(f"no run at or below {given}" if given else "no folder given")
    often = Counter(name for name, _ in found.values())
    named = [
        (name if often[name] == 1 else str(folder), folder, kind)
        for folder, (name, kind) in found.items()
    ]
    ours = [(name, folder) for name, folder, kind in named if kind == OURS]
    if ours:
        read.insert(0, folders.read(ours))
    read += [_foreign(kind, folder, name) for name, folder, kind in named if kind != OURS]
    return merge(read)


def _foreign(kind: str, folder: Path, name: str) -> Part:
    """The run of another program; if it cannot be read, its notes have the reason."""
    try:
        return foreign.FORMATS[kind][1](folder, name)
    except (ValueError, OverflowError, OSError, csv.Error) as error:
        why = error.why if isinstance(error, DamagedFile) else str(error)
        facts = {"run": name, "folder": str(folder), "source": kind, "run_id": f"{kind}/{folder}"}
        return unreadable(facts, one_line(why))


def _run_folders(root: Path) -> Iterator[tuple[Path, str]]:
    """(folder, format) of the runs at or below `root` in sorted order, and of empty folders.

    Links are followed, each folder once, after all that is found without them.
    """
    seen: set[str] = set()  # a link may lead to a folder that contains it
    waiting = [str(root)]
    for start in waiting:
        for base, subfolders, files in os.walk(start):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            names = {*files, *subfolders}
            place = os.path.realpath(base)
            kind = "" if REPORT_FILE in names else _format(names)
            if place in seen or kind:
                subfolders.clear()
            if kind and place not in seen:
                yield Path(base), kind
            seen.add(place)
            waiting += [path for name in subfolders if os.path.islink(path := f"{base}/{name}")]


def _format(names: set[str]) -> str:
    """Format of a folder that contains these names; "" if it is not a run.

    Ours is checked first, because our run folders may contain TensorBoard files too.
    """
    if folders.SPEC_FILE in names or not names:
        return OURS
    return foreign.recognise(names) or (OURS if names & folders.RUN_MARKS else "")


def _no_folder(path: Path) -> str:
    if path.is_file():
        return (
            f"{path} is a file; give its folder {path.parent}, or a .parquet file of "
            "`safedreamer export`"
        )
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"no folder {path}{did_you_mean(path.name, siblings)}"
