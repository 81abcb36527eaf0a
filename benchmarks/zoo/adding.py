"""Publishes finished runs as entries of the zoo."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.methods import method
from benchmarks.methods.saved import newest
from benchmarks.omnisafe.process import run_in_child
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import FINAL_FILE
from benchmarks.runs.folder import variant_of
from benchmarks.runs.policy_file import TOLERANCE, halved, write_policy
from benchmarks.runs.reading import DamagedFile, read_object, sha256_of
from benchmarks.runs.records import EpisodeRecord, read_rows
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.runs.spec_file import read_spec
from benchmarks.training.launch import environment, trained_agent
from benchmarks.zoo.card import given, limit_of, markdown, rescore, scores
from benchmarks.zoo.entry import CARD, POLICY, ROOT, TEXT, Entry, entry_name, find, names
from benchmarks.zoo.precision import half_error
from benchmarks.zoo.rows import record
from benchmarks.zoo.states import arrays_of, filled

LIMITS = (
    "one training seed on one task; scored on layouts of this task's generator only. Return and "
    "cost on other tasks, other limits or a real robot are unknown, and an average cost within the "
    "limit is no promise for a single episode."
)


def add(run: Path, root: Path | None = None) -> Entry:
    """Publish the newest checkpoint's policy of a run that has its final evaluation.

    An existing entry of the same run is replaced. Raises BadInput if the run cannot be published,
    its final evaluation is of another checkpoint, or another run has its name.
    """
    root = root or ROOT
    spec, checkpoint, env_steps, agent_steps = newest(run)
    name = entry_name(to_dict(spec))
    if why := no_place(spec.method, variant_of(run)):
        raise BadInput(f"{run} is {why}; its run folder can be evaluated")
    if name in names(root) and (there := find(name, root).card["run_id"]) != spec.run_id:
        raise BadInput(
            f"zoo:{name} is run {there}, not {spec.run_id}; delete {root / name} to replace it"
        )
    rows = _final_rows(run)
    if rows[0].env_steps != env_steps:
        raise BadInput(
            f"{run / FINAL_FILE} is of {rows[0].env_steps:,} simulator steps, the newest "
            f"checkpoint of {env_steps:,}: `safedreamer publish` evaluates it again"
        )
    # before the policy's file replaces an older one
    scored = {"scores": scores(rows), "rescore": rescore(rows, limit_of(spec))}
    file = root / name / POLICY
    torch = method(spec.method).engine == "torch"
    kept = _keep_torch(spec, run, file) if torch else _keep_jax(spec, checkpoint, file)
    card = _card(name, spec, run, kept, file)
    card |= {"trained": {"env_steps": env_steps, "agent_steps": agent_steps}}
    card |= scored | {"limits": LIMITS}
    text = json.dumps(card, indent=1) + "\n"
    (file.parent / CARD).write_text(text, encoding="utf-8")
    (file.parent / TEXT).write_text(markdown(card), encoding="utf-8")
    return find(name, root)


def no_place(name: str, variant: str) -> str:
    """Why runs of that method and variant cannot enter the zoo; "" if they can."""
    if variant:
        return f"the variant {variant!r} of {name}: the zoo has no names for variants"
    of = method(name)
    if of.engine == "torch" and of.kind == "model-based":
        return f"a planner of OmniSafe's, {name}: the zoo holds no state of its models"
    return ""


def _final_rows(run: Path) -> list[EpisodeRecord]:
    """The episodes of the final evaluation, at least the two that an interval needs."""
    file = run / FINAL_FILE
    try:
        rows, damage = read_rows(file)
    except FileNotFoundError as error:
        raise BadInput(
            f"{run} has no {FINAL_FILE}: `safedreamer publish` makes the final evaluation"
        ) from error
    for line, why in damage.items():
        raise DamagedFile(file, line, why)
    if len(rows) < 2:
        raise BadInput(f"{file} has {len(rows)} episodes; the intervals of a card need two or more")
    return rows


def _keep_jax(spec: RunSpec, checkpoint: Path, file: Path) -> dict[str, Any]:
    """Write the policy; returns the numbers written (`count`) and those of the whole state (`of`),
    their dtype, and the largest `error` of a head, or of OmniSafe's actions, in float16.
    """
    make, env_spec = environment(spec)
    agent, state = trained_agent(spec, checkpoint, env_spec)
    arrays = arrays_of(agent, state, env_spec)
    small = halved(arrays)
    error = half_error(
        agent, state, filled(state, small, file), record(agent, state, make, spec.seed)
    )
    arrays, dtype = (small, "float16") if error <= TOLERANCE else (arrays, "float32")
    write_policy(file, arrays)
    return {"count": _count(arrays), "of": _count(state), "dtype": dtype, "error": error}


def _keep_torch(spec: RunSpec, run: Path, file: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        about = Path(folder) / "kept.json"
        if status := run_in_child("keep", spec, run, file=str(file), about=str(about)):
            raise BadInput(f"the process of {spec.method} ended with status {status}")
        return read_object(about)


def remove(name: str, root: Path | None = None) -> None:
    """Remove an entry from the zoo. Raises BadInput if there is none."""
    shutil.rmtree(find(name, root).folder)


def _count(tree: Any) -> int:
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(tree))


def _card(name: str, spec: RunSpec, run: Path, kept: dict[str, Any], file: Path) -> dict[str, Any]:
    start = read_spec(run)["starts"][-1]
    hardware = start.get("hardware", {})
    return {
        "name": name,
        "run_id": spec.run_id,
        "spec": to_dict(spec),
        "commit": start.get("git", {}).get("commit"),
        "versions": ", ".join(f"{key} {value}" for key, value in start.get("versions", {}).items()),
        "hardware": f"{hardware.get('cpu')}, {hardware.get('cores')} cores"
        + "".join(f"; {device}" for device in hardware.get("devices", [])),
        "given": given(spec),
        "cost_limit": limit_of(spec),
        "parameters": {
            "count": kept["count"],
            "of": kept["of"],
            "dtype": kept["dtype"],
            "float16_error": kept["error"],
            "bytes": file.stat().st_size,
            "sha256": sha256_of(file),
        },
    }
