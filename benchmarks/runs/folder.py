"""The folder of one run: its files and its configuration; two configurations are never mixed.

spec.json       the configuration, and for every start: commit, versions, hardware
episodes.csv    one row per finished episode (records.py)
metrics.jsonl   training metrics (metrics.py)
checkpoints/    learner states and counters (checkpoint.py)
replay/         the replay buffer as of those checkpoints (agents/replay/journal.py)
status.json     state and progress of the run (status.py)
run.lock, owner.json  held while a process trains here (ownership.py)
faults.jsonl    environment workers that were replaced (env_faults.py)
diverged/       the batch that made a run diverge (divergence.py)
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.runs import attempts, records
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import (
    CHECKPOINTS,
    LOCK_FILE,
    METRICS_FILE,
    OWNER_FILE,
    RECORDS_FILE,
    REPLAY,
    SPEC_FILE,
    STATUS_FILE,
    SWEEP_FILE,
)
from benchmarks.runs.identity import diff
from benchmarks.runs.ownership import own, read_owner
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import jax_devices, provenance
from benchmarks.runs.reading import DamagedFile, expect, read_object
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.runs.spec_file import read_spec, starts_of, write_spec
from benchmarks.runs.status import StatusFile, read_status

T = TypeVar("T")
# parts of `provenance` that affect rounding
ROUNDING = {
    "hardware": ("cpu", "cores", "devices"),
    "versions": ("jax", "jaxlib", "numpy", "torch"),
}


@contextmanager
def claim(
    spec: RunSpec,
    out: Path,
    say: Callable[[str], None] = lambda _: None,
    devices: Callable[[], list[str]] = jax_devices,
    look: Callable[[], T | None] = lambda: None,
) -> Iterator[tuple[StatusFile, T | None]]:
    """Create or check the folder `out` for `spec`, and own it for the duration of the context.

    Yields its status, kept up to date, and the result of `look`, which is called once the folder is
    owned and before anything in it is changed; an exception from it cancels the start. `devices`
    lists the devices of the learner's library, for provenance.

    Raises BadInput if the folder belongs to another configuration (with the difference), holds
    something else, or is in use.
    """
    check(spec, out)
    out.mkdir(parents=True, exist_ok=True)
    with own(out, say) as ownership:
        check(spec, out)  # again, now that no other process writes there
        found = look()
        before = read_status(out) if (out / STATUS_FILE).exists() else None
        _write_spec(spec, out, say, devices)
        with StatusFile(out, spec, on_beat=ownership.check, before=before) as status:
            yield status, found


def check(spec: RunSpec, out: str | os.PathLike[str]) -> None:
    """Raise BadInput unless `out` is absent, empty, a run of the same configuration, or one that
    ended before it had results.

    A run with damaged files is refused (DamagedFile, with the file). Changes nothing.
    """
    out = Path(out)
    check_folder(out, of_run=True)
    if spec.replay.directory:
        check_folder(Path(spec.replay.directory), "replay.directory")
    if not out.exists():
        return
    if not os.path.lexists(out / SPEC_FILE):
        if any(path.name not in (LOCK_FILE, OWNER_FILE) for path in out.iterdir()):
            raise BadInput(
                f"{out} is not empty and holds no {SPEC_FILE}: choose a new folder with --out"
            )
        return
    _check_small_files(out)
    _check_rows(out)
    different = diff(read_spec(out)["spec"], to_dict(spec))
    if different and _holds_results(out):
        shown = "; ".join(
            f"{name}: there {old!r}, here {new!r}" for name, (old, new) in different.items()
        )
        raise BadInput(
            f"{out} belongs to another configuration ({shown}): choose another --out, or the "
            "same settings"
        )
    if any(event.event == "cleaned" for event in attempts.read(out)):
        raise BadInput(
            f"{out} was cleaned (`safedreamer clean`): without its replay buffer it would "
            "start over, and its records with it; choose another --out"
        )


def variant_of(folder: str | os.PathLike[str]) -> str:
    """The variant of a sweep's run, as named by its suite; "" for others."""
    path = Path(folder) / SWEEP_FILE
    try:
        about = read_object(path)
    except FileNotFoundError:
        return ""
    expect(about, {"variant": str}, path)
    return about["variant"]


def _check_small_files(out: Path) -> None:
    """Raise DamagedFile if a small file of the folder cannot be read."""
    read_spec(out)
    if os.path.lexists(out / STATUS_FILE):
        read_status(out)
    if os.path.lexists(out / SWEEP_FILE):
        read_object(out / SWEEP_FILE)
    attempts.read(out)
    read_owner(out)


def _check_rows(out: Path) -> None:
    """Raise DamagedFile if files that the run appends to, or its folders, are something else."""
    for name in (RECORDS_FILE, METRICS_FILE):
        if (out / name).exists() and not (out / name).is_file():
            raise DamagedFile(out / name, None, "it is not a regular file")
    for name in (CHECKPOINTS, REPLAY):
        if (out / name).exists() and not (out / name).is_dir():
            raise DamagedFile(out / name, None, "it is not a folder")
    if (out / RECORDS_FILE).exists() and (out / RECORDS_FILE).stat().st_size:
        records.check_header(out / RECORDS_FILE)


def _holds_results(out: Path) -> bool:
    rows = 0
    with contextlib.suppress(FileNotFoundError), (out / RECORDS_FILE).open("rb") as file:
        rows = sum(1 for _ in itertools.islice(file, 2))
    return rows > 1 or any((out / CHECKPOINTS).glob("[0-9]*"))


def _write_spec(
    spec: RunSpec, out: Path, say: Callable[[str], None], devices: Callable[[], list[str]]
) -> None:
    starts = starts_of(out)
    now = provenance(devices)
    if starts and (changes := rounding_changes(starts[-1], now)):
        say(
            f"since the last start {changes}: the run continues, but with different rounding than "
            "without the change"
        )
    started = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **now}
    write_spec(out, spec, [*starts, started])


def rounding_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe differences in the `provenance` of two starts that affect how sums are rounded (XLA
    splits them among cores).
    """
    changes = []
    for part, names in ROUNDING.items():
        earlier = before[part] if isinstance(before.get(part), dict) else {}
        for name in names:
            old, new = earlier.get(name), now[part].get(name)
            if old is not None and old != new:  # None: not installed at that start
                changes.append(f"{name} changed from {old} to {new}")
    return ", ".join(changes)


def rewind(out: str | os.PathLike[str], positions: Mapping[str, int]) -> None:
    """Drop rows of the run's files after `positions` (bytes); all rows without any."""
    out = Path(out)
    for name in (RECORDS_FILE, METRICS_FILE):
        if (out / name).exists() or name in positions:
            records.truncate(out / name, positions.get(name, 0))
