"""The folder of one run: what it holds, which configuration it belongs to, and the refusal to mix
two.

spec.json       the configuration, and for every start: commit, versions, hardware
episodes.csv    one row per finished episode (records.py)
metrics.jsonl   training metrics (metrics.py)
checkpoints/    learner states and counters (checkpoint.py)
replay/         the replay buffer as of those checkpoints (agents/replay/journal.py)
status.json     where the run stands, while it runs and after (status.py)
run.lock, owner.json  held while a process trains here (ownership.py)
faults.jsonl    environment workers that were replaced (env_faults.py)
diverged/       the batch that made a run diverge (divergence.py)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.runs import attempts, records
from benchmarks.runs.files import (
    CHECKPOINTS,
    LOCK_FILE,
    METRICS_FILE,
    OWNER_FILE,
    RECORDS_FILE,
    SPEC_FILE,
)
from benchmarks.runs.ownership import own
from benchmarks.runs.provenance import jax_devices, provenance
from benchmarks.runs.spec import BadInput, RunSpec, diff, to_dict
from benchmarks.runs.status import StatusFile


@contextmanager
def claim(
    spec: RunSpec,
    out: Path,
    say: Callable[[str], None] = lambda _: None,
    devices: Callable[[], list[str]] = jax_devices,
) -> Iterator[StatusFile]:
    """The folder `out`, made or checked for `spec` and owned by this process.

    Yields its status, kept up to date.

    `devices` lists those of the learner's library, for the record of where a result comes from.
    Raises BadInput when it belongs to another configuration (with the difference), holds something
    else, or is in use.
    """
    check(spec, out)
    out.mkdir(parents=True, exist_ok=True)
    with own(out, say) as ownership:
        check(spec, out)  # again, now that no one else writes there
        _write_spec(spec, out, say, devices)
        with StatusFile(out, spec, on_beat=ownership.check) as status:
            yield status


def check(spec: RunSpec, out: Path) -> None:
    """Raise BadInput unless `out` is absent, empty, a run of the same configuration, or one that
    ended before it had results.

    Changes nothing.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise BadInput(f"{out} is a file; --out must be a folder")
    if not (out / SPEC_FILE).is_file():
        if any(path.name not in (LOCK_FILE, OWNER_FILE) for path in out.iterdir()):
            raise BadInput(
                f"{out} is not empty and holds no {SPEC_FILE}: choose a new folder with --out"
            )
        return
    different = diff(read_spec(out)["spec"], spec)
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


def _holds_results(out: Path) -> bool:
    file = out / RECORDS_FILE
    rows = file.is_file() and len(file.read_text(encoding="utf-8").splitlines()) > 1
    return rows or any((out / CHECKPOINTS).glob("[0-9]*"))


def read_spec(folder: Path) -> dict[str, Any]:
    """What spec.json holds: `run_id`, `spec` (see spec.to_dict) and `starts`.

    Raises BadInput when there is none.
    """
    path = folder / SPEC_FILE
    if not path.is_file():
        raise BadInput(f"{folder} is not a run folder: it has no {SPEC_FILE}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, Mapping) or not {"run_id", "spec", "starts"} <= set(data):
        raise BadInput(f"{path} is not the {SPEC_FILE} of a run: it needs run_id, spec and starts")
    return dict(data)


def _write_spec(
    spec: RunSpec, out: Path, say: Callable[[str], None], devices: Callable[[], list[str]]
) -> None:
    starts = read_spec(out)["starts"] if (out / SPEC_FILE).is_file() else []
    now = provenance(devices)
    if starts and (changes := rounding_changes(starts[-1], now)):
        say(
            f"since the last start {changes}: the run goes on, but its numbers are rounded "
            "otherwise than if it had not changed"
        )
    starts = [*starts, {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **now}]
    data = {"run_id": spec.run_id, "spec": to_dict(spec), "starts": starts}
    temporary = out / f".{SPEC_FILE}.tmp"
    temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, out / SPEC_FILE)


def rounding_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between the `provenance` of two starts and decides how sums are rounded (XLA
    splits them among cores).
    """
    pairs = [
        (name, before["hardware"].get(name), now["hardware"][name])
        for name in ("cpu", "cores", "devices")
    ]
    pairs += [
        (name, before["versions"].get(name), now["versions"].get(name))
        for name in ("jax", "jaxlib", "numpy", "torch")
    ]
    # None: not installed then
    known = [(name, old, new) for name, old, new in pairs if old is not None]
    return ", ".join(
        f"{name} changed from {old} to {new}" for name, old, new in known if old != new
    )


def rewind(out: Path, positions: Mapping[str, int]) -> None:
    """Drop rows of the run's files written after `positions` (bytes).

    Empty positions start them over.
    """
    for name in (RECORDS_FILE, METRICS_FILE):
        if (out / name).exists() or name in positions:
            records.truncate(out / name, positions.get(name, 0))
