"""The loop's state in progress, as arrays: running episodes, their sums, and unwritten metrics.

Together with the learner's state, the policy's carry and the replay buffer it makes a resumed run
equal to an uninterrupted one: environments are restored by restarting their episodes and replaying
the actions, all randomness derives from the run's seed and counters, and no clock is stored here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from agents.replay import journal as replay_journal
from benchmarks.envs import Step, VectorEnv
from benchmarks.runs import checkpoint, records
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import (
    CHECKPOINTS,
    METRICS_FILE,
    RECORDS_FILE,
    REPLAY,
    SPEC_FILE,
    STATUS_FILE,
)
from benchmarks.runs.identity import flatten
from benchmarks.runs.metrics import Window
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import DamagedFile, expect
from benchmarks.runs.spec_file import read_spec
from benchmarks.runs.status import Status, read_status
from benchmarks.training.episodes import Tally

# meta of a run without a checkpoint
NEW: Mapping[str, Any] = {"counters": {}, "positions": {}}
T = TypeVar("T")


def fits(found: Path, restore: Callable[..., T], *args: Any) -> T:
    """Call `restore` on a checkpoint's content and return its result.

    Raises a one-line BadInput if the content does not fit the run.
    """
    try:
        return restore(*args)
    except BadInput:
        raise
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BadInput(
            f"{found} does not fit this run: {one_line(str(error))}; choose another --out"
        ) from error


def newest_checkpoint(
    out: Path, run_id: str, say: Callable[[str], None]
) -> tuple[Path, dict[str, Any]] | None:
    """The newest usable checkpoint of the run folder `out` and its meta; None before the first.

    It is intact, as are the replay and the rows it depends on. Damaged checkpoints are reported and
    set aside. Raises BadInput and changes nothing if only damaged ones are left, or none although
    the run has saved one.
    """
    folder = out / CHECKPOINTS
    found = checkpoint.find(folder, lambda path: _unusable(out, path, run_id))
    faults = "; ".join(f"{path}: {fault}" for path, fault in found.damaged)
    if found.path is None:
        if found.damaged:
            raise BadInput(
                f"no checkpoint of this run is intact ({faults}): delete {out} to start over, "
                "or choose another --out"
            )
        _check_never_saved(out, say)
        return None
    for path, fault in found.damaged:
        aside = checkpoint.set_aside(path)
        say(
            f"checkpoint {path.name} is damaged ({fault}); kept as {aside}, continuing from "
            f"{found.path}"
        )
    return found.path, checkpoint.read_meta(found.path, run_id)


def _check_never_saved(out: Path, say: Callable[[str], None]) -> None:
    """Report that a run without a checkpoint starts over.

    Raises BadInput if one had been saved and was lost, because its records would be, too.
    """
    status = read_status(out) if (out / STATUS_FILE).exists() else None
    aside = [path.name for path in (out / CHECKPOINTS).glob("damaged-*")]
    if aside or (status is not None and _has_saved(out, status)):
        raise BadInput(
            f"{out / CHECKPOINTS} holds no intact checkpoint, although this run saved one: put "
            f"it back, delete {out} to start over, or choose another --out"
        )
    rows = out / RECORDS_FILE
    if rows.is_file() and rows.stat().st_size > len(",".join(records.COLUMNS)) + 2:
        say("the run ended before its first checkpoint; it starts over, and so do its records")


def _has_saved(out: Path, status: Status) -> bool:
    """Whether a run has written a checkpoint, by its last status.

    A run that died while it wrote its first one has not, although its replay may be there.
    """
    if status.state in ("stopped", "out_of_time", "finished"):
        # with an error: interrupted at once, without saving
        return status.env_steps > 0 and status.last_error is None
    if status.state in ("train", "evaluate") and (out / REPLAY).exists():
        return True
    spec, file = read_spec(out)["spec"], out / SPEC_FILE
    expect(spec, {"loop": dict}, file, "spec.")
    loop, epoch = spec["loop"], flatten(spec["agent"]).get("algo_cfgs.steps_per_epoch", 0)
    names = ("checkpoint_every", "num_envs", "action_repeat")
    expect(loop, dict.fromkeys(names, int), file, "spec.loop.")
    # the last agent step at which the first checkpoint is due; OmniSafe saves after whole epochs
    first = loop["checkpoint_every"] + loop["num_envs"] + epoch
    return status.env_steps > first * loop["action_repeat"]


def _unusable(out: Path, path: Path, run_id: str) -> str | None:
    """Why the run cannot continue from a checkpoint whose files are intact, or None.

    Raises BadInput for a checkpoint of another run or version.
    """
    try:
        meta = checkpoint.read_meta(path, run_id)
        file = path / checkpoint.META
        expect(meta, {"positions": dict}, file)
        positions = meta["positions"]
        expect(positions, dict.fromkeys((RECORDS_FILE, METRICS_FILE), int), file, "positions.")
        if fault := (
            checkpoint.unreadable(path)
            or _rows_fault(out / RECORDS_FILE, positions[RECORDS_FILE])
            or _lines_fault(out / METRICS_FILE, positions[METRICS_FILE])
        ):
            return fault
        mark = "replay_mark"
        marks: Any = {"": meta[mark]} if mark in meta else meta.get("replay_marks")
        expect({"replay_marks": marks}, {"replay_marks": dict}, file)
        for name, mark in marks.items():
            replay_journal.check(out / REPLAY / name, mark)
    except DamagedFile as error:
        return str(error)
    except BadInput:
        raise
    except ValueError as error:  # raised by the replay
        return one_line(str(error))
    return None


def _lines_fault(file: Path, position: int) -> str | None:
    """The fault in the first `position` bytes of a file of lines, or None."""
    size = file.stat().st_size if file.is_file() else 0
    if size < position:
        return (
            f"{file.name} has {size} bytes, fewer than the {position} that the checkpoint "
            "counts on: rows were removed"
        )
    if position:
        with file.open("rb") as opened:
            opened.seek(position - 1)
            if opened.read(1) != b"\n":
                return (
                    f"{file.name} has no end of line at byte {position}, where the "
                    "checkpoint's rows end: it was changed"
                )
    return None


def _rows_fault(file: Path, position: int) -> str | None:
    if fault := _lines_fault(file, position):
        return fault
    if not position:
        return None
    try:
        damage = records.read_rows(file, position).damage
    except ValueError as error:
        return one_line(str(error))
    return next((f"{file.name}, line {line}: {why}" for line, why in damage.items()), None)


def flat(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of several parts in one dict, as `part:name`; `nested` is the inverse."""
    return {f"{part}:{name}": x for part, arrays in parts.items() for name, x in arrays.items()}


def nested(arrays: Mapping[str, np.ndarray]) -> defaultdict[str, dict[str, np.ndarray]]:
    """The arrays of each part; those of no part are in "", and absent parts are empty."""
    found: defaultdict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for key, array in arrays.items():
        part, colon, name = key.partition(":")
        found[part if colon else ""][name if colon else key] = array
    return found


def snapshot(envs: VectorEnv, step: Step, tally: Tally, window: Window) -> dict[str, np.ndarray]:
    """The loop's state as one flat dict, for a checkpoint."""
    parts = {"envs": envs.snapshot(), "tally": tally.snapshot(), "window": window.snapshot()}
    return flat(parts | {"row": _row(step)})


def restore(
    arrays: Mapping[str, np.ndarray],
    envs: VectorEnv,
    tally: Tally,
    window: Window,
    say: Callable[[str], None],
) -> Step:
    """Restore environments, sums and metrics from a snapshot.

    Returns the row that the loop acts on next.

    Reports environments whose row differs from the saved one.
    """
    parts = nested(arrays)
    tally.restore(parts["tally"])
    window.restore(parts["window"])
    step = envs.restore(parts["envs"])
    tally.forget(step.lost)
    now = _row(step)
    different = [
        i
        for i in range(envs.num_envs)
        if not all(np.array_equal(now[name][i], saved[i]) for name, saved in parts["row"].items())
    ]
    if different:
        say(
            f"environments {different} did not return to their saved state: they are not "
            "determined by their seed and actions, so the run continues, but not exactly"
        )
    return step


def _row(step: Step) -> dict[str, np.ndarray]:
    rest = {name: value for name, value in step._asdict().items() if name not in ("obs", "lost")}
    return rest | {f"obs/{name}": value for name, value in step.obs.items()}
