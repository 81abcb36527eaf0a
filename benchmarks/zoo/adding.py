"""A finished run becomes an entry of the zoo."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.methods import method
from benchmarks.methods.saved import newest
from benchmarks.runs.files import FINAL_FILE
from benchmarks.runs.folder import variant_of
from benchmarks.runs.records import read_rows
from benchmarks.runs.spec import BadInput, RunSpec, read_spec, to_dict
from benchmarks.training.launch import environment, trained_agent
from benchmarks.zoo.card import given, limit_of, markdown, rescore, scores
from benchmarks.zoo.entry import (
    CARD,
    POLICY,
    ROOT,
    TEXT,
    Entry,
    arrays_of,
    entry_name,
    filled,
    find,
    halved,
    names,
    write_policy,
)
from benchmarks.zoo.precision import TOLERANCE, half_error
from benchmarks.zoo.rows import record

LIMITS = (
    "one training seed on one task; scored on layouts of this task's generator only. Return and "
    "cost on other tasks, other limits or a real robot are unknown, and an average cost within the "
    "limit is no promise for a single episode."
)


class Kept(NamedTuple):
    """Arrays as they are published, and the largest error of a head that float16 makes."""

    arrays: dict[str, np.ndarray]
    dtype: str
    error: float


def add(run: Path, root: Path | None = None) -> Entry:
    """Publish the newest checkpoint's policy of a run that has its final evaluation.

    An entry of the same run is written anew. Raises BadInput where the run cannot be published, or
    another run has its name.
    """
    root = root or ROOT
    spec, checkpoint, env_steps, agent_steps = newest(run)
    name = entry_name(to_dict(spec))
    if method(spec.method).engine == "torch":
        raise BadInput(
            f"{spec.method} is OmniSafe's: its policy acts from the learner's whole checkpoint in "
            "a process of its own, which the zoo does not hold; its run folder can be evaluated"
        )
    if variant := variant_of(run):
        raise BadInput(
            f"{run} is the variant {variant!r} of {spec.method}: the zoo has no names for "
            "variants; its run folder can be evaluated"
        )
    if name in names(root) and (there := find(name, root).card["run_id"]) != spec.run_id:
        raise BadInput(
            f"zoo:{name} is run {there}, not {spec.run_id}; delete {root / name} to replace it"
        )
    try:
        rows = read_rows(run / FINAL_FILE).records
    except FileNotFoundError as error:
        raise BadInput(
            f"{run} has no {FINAL_FILE}: `safedreamer publish` makes the final evaluation"
        ) from error
    make, env_spec = environment(spec)
    agent, state = trained_agent(spec, checkpoint, env_spec)
    arrays = arrays_of(agent, state, env_spec)
    small = halved(arrays)
    file = root / name / POLICY
    error = half_error(
        agent, state, filled(state, small, file), record(agent, state, make, spec.seed)
    )
    kept = Kept(small, "float16", error) if error <= TOLERANCE else Kept(arrays, "float32", error)
    write_policy(file, kept.arrays)
    card = _card(name, spec, run, kept, _count(state), file)
    card |= {"trained": {"env_steps": env_steps, "agent_steps": agent_steps}}
    card |= {"scores": scores(rows), "rescore": rescore(rows, limit_of(spec)), "limits": LIMITS}
    text = json.dumps(card, indent=1) + "\n"
    (file.parent / CARD).write_text(text, encoding="utf-8")
    (file.parent / TEXT).write_text(markdown(card), encoding="utf-8")
    return find(name, root)


def remove(name: str, root: Path | None = None) -> None:
    """Take an entry out of the zoo. Raises BadInput where there is none."""
    shutil.rmtree(find(name, root).folder)


def _count(tree: Any) -> int:
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(tree))


def _card(name: str, spec: RunSpec, run: Path, kept: Kept, of: int, file: Path) -> dict[str, Any]:
    start = read_spec(run)["starts"][-1]
    hardware = start.get("hardware", {})
    return {
        "name": name,
        "run_id": spec.run_id,
        "spec": to_dict(spec),
        "commit": start.get("git", {}).get("commit"),
        "versions": ", ".join(f"{key} {value}" for key, value in start.get("versions", {}).items()),
        "hardware": f"{hardware.get('cpu')}, {hardware.get('cores')} cores; "
        f"{', '.join(hardware.get('devices', []))}",
        "given": given(spec),
        "cost_limit": limit_of(spec),
        "parameters": {
            "count": _count(kept.arrays),
            "of": of,
            "dtype": kept.dtype,
            "float16_error": kept.error,
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        },
    }
