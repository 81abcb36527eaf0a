"""Finds and runs the checks of a folder of recordings.

A folder may hold single recordings (multipliers, distributions, simulator rollouts) and the parts
of one recorded agent (`*.ckpt`, `config.json`, `arrays.npz`, `params.json`, `planner.npz`).
Sub-folders are searched one level deep.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from agents.safedreamer.release.checkpoint import load_official
from benchmarks.fidelity import distributions, imagination, lagrangian, model, planner
from benchmarks.fidelity.arrays import RecordingError
from benchmarks.fidelity.recording import Recording, load_recording
from benchmarks.fidelity.report import Row
from benchmarks.runs.reading import read_object

Check = Callable[[], list[Row]]

# Families of arrays that a recording of an agent may hold. An array of these that no check compares
# is an error.
FAMILIES = re.compile(
    r"(embed$|initial_|post_|prior_|pred_|logprob_|dyn_|rep_|"
    r"actor_|critic_|cost_critic_|imag_|retnorm_)"
)


def check_rollouts(path: Path) -> list[Row]:
    """Check simulator rollouts. Imports its module lazily: only this check needs MuJoCo."""
    from benchmarks.fidelity import env_rollouts

    return env_rollouts.check(path)


FILES: dict[str, Callable[[Path], list[Row]]] = {
    "pid_lagrangian.npz": lagrangian.check_pid,
    "augmented_lagrangian.npz": lagrangian.check_augmented,
    "distributions.npz": distributions.check,
    "env_rollouts.npz": check_rollouts,
}


def check_checkpoint(checkpoint: Path, listing: Path) -> list[Row]:
    """Check that an official checkpoint, read without executing its content, holds exactly the
    arrays of its list (`params.json`: path -> [shape, dtype]). Errors count arrays.
    """
    listed = {name: (tuple(shape), dtype) for name, (shape, dtype) in read_object(listing).items()}
    held = {name: (x.shape, str(x.dtype)) for name, x in load_official(checkpoint).agent.items()}
    absent = sorted(listed.keys() ^ held.keys())
    differing = sorted(name for name in listed.keys() & held.keys() if listed[name] != held[name])
    rows, total = [], len(listed)
    for what, names in (("names", absent), ("shapes and types", differing)):
        count = len(names)
        note = f"differ: {', '.join(names[:5])}" if names else f"{total} arrays"
        shares = float(count), count / max(1, total)
        rows.append(Row(f"checkpoint/{what}", (total,), *shares, not names, note))
    return rows


def check_agent(rec: Recording) -> list[Row]:
    """Check everything in `arrays.npz`.

    Arrays of a known family that no check compares count as errors; others are only listed.
    """
    rows = [*model.check_model(rec), *model.check_behaviour(rec)]
    rows += [*imagination.check_latents(rec), *imagination.check_losses(rec)]
    compared = {row.quantity for row in rows}
    note = "not compared: our agent has no such quantity"
    for name, array in rec.arrays.items():
        if name not in compared and not name.startswith("data_"):
            known = FAMILIES.match(name) is not None
            error = np.inf if known else 0.0
            rows.append(Row(name, array.shape, error, error, not known, note))
    return rows


def agent_checks(folder: Path) -> Iterator[tuple[str, Check]]:
    """Checks of the agent recorded in a folder, if there is one."""
    checkpoints, listing = sorted(folder.glob("*.ckpt")), folder / "params.json"
    if checkpoints and listing.is_file():
        yield "checkpoint", lambda: check_checkpoint(checkpoints[0], listing)
    arrays, plans = folder / "arrays.npz", folder / "planner.npz"
    if arrays.is_file() or plans.is_file():
        missing = [name for name in ("arrays.npz", "config.json") if not (folder / name).is_file()]
        if missing or not checkpoints:
            lacks = ", ".join([*missing, *["*.ckpt"] * (not checkpoints)])
            raise RecordingError(f"{folder} holds part of a recorded agent but lacks {lacks}")
        rec = load_recording(folder)
        yield "agent", lambda: check_agent(rec)
        if plans.is_file():
            yield "planner", lambda: planner.check_planner(rec, plans)


def find_checks(folder: Path) -> Iterator[tuple[str, Check]]:
    """(name, check) of everything in this folder, sub-folders excluded."""
    for name, check in FILES.items():
        path = folder / name
        if path.is_file():
            yield name, lambda check=check, path=path: check(path)
    yield from agent_checks(folder)


def check_folders(root: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield (heading, rows) of everything in `root` and its immediate sub-folders, as it is done.

    An unreadable recording yields a failed row with the reason, so that it does not hide the
    others.
    """
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        label = folder.name if folder != root else ""
        try:
            for name, check in find_checks(folder):
                heading = f"{label}/{name}" if label else name
                yield heading, check()
        except (OSError, ValueError, KeyError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            yield label or ".", [Row("recording", (), note=f"cannot be checked: {reason}")]
