"""Entries of the zoo: `METHOD/TASK/SEED` with `policy.npz` (one array per leaf, by its path),
`card.json` and `card.md`.

A policy is loaded into the state of a fresh agent: leaves that acting does not read stay fresh.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import Agent, EnvSpec, PyTree
from benchmarks.methods import method
from benchmarks.runs.checkpoint import UNREADABLE
from benchmarks.runs.plain_text import did_you_mean
from benchmarks.runs.reading import DamagedFile, expect, read_object
from benchmarks.runs.spec import BadInput, RunSpec, from_dict
from benchmarks.training.launch import agent_for
from benchmarks.zoo.needed import needed

ROOT = Path(__file__).resolve().parents[2] / "results" / "zoo"
POLICY, CARD, TEXT = "policy.npz", "card.json", "card.md"
_CARD = {"name": str, "run_id": str, "spec": dict, "trained": dict, "scores": dict, "rescore": dict}


class Entry(NamedTuple):
    """A published policy."""

    name: str  # METHOD/TASK[-OBS]/SEED
    folder: Path
    card: dict[str, Any]
    spec: RunSpec


def entry_name(spec: Mapping[str, Any]) -> str:
    """`bsrp_lag/PointCircle1/0` for the spec of a run on SafetyPointCircle1-v0 from lidar;
    `bsrp_lag/PointGoal1-coordinates/0` names another observation.
    """
    task = re.sub(r"^Safety|-v\d+$", "", spec["task"])
    task += "" if spec["obs"] == "lidar" else f"-{spec['obs']}"
    return f"{spec['method']}/{re.sub(r'[^A-Za-z0-9_.-]', '-', task)}/{spec['seed']}"


def names(root: Path | None = None) -> list[str]:
    """Names of all entries, sorted."""
    root = root or ROOT
    return sorted(card.parent.relative_to(root).as_posix() for card in root.glob(f"*/*/*/{CARD}"))


def find(name: str, root: Path | None = None) -> Entry:
    """The entry of that name.

    Raises BadInput that lists the names there are, DamagedFile for a card that cannot be read.
    """
    root = root or ROOT
    name, known = name.strip("/"), names(root)
    if name not in known:
        listing = f"the zoo has {', '.join(known)}"
        if not known:
            listing = f"the zoo ({root}) is empty: it comes with a checkout, not with a wheel"
        raise BadInput(f"no policy {name!r} in the zoo{did_you_mean(name, known)}; {listing}")
    folder = root / name
    card = read_object(folder / CARD)
    expect(card, _CARD, folder / CARD)
    expect(card["trained"], {"env_steps": int, "agent_steps": int}, folder / CARD, "trained.")
    data = card["spec"]
    try:
        spec = from_dict(data, method(data["method"]).config_type(data["obs"]))
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFile(folder / CARD, None, f"spec: {error}") from error
    return Entry(name, folder, card, spec)


def arrays_of(agent: Agent, state: PyTree, env: EnvSpec) -> dict[str, np.ndarray]:
    """What acting needs of a learner state, by name of its leaf."""
    kept = needed(agent, state, env)
    leaves = jax.tree_util.tree_flatten_with_path(jax.device_get(state))[0]
    named = ((jax.tree_util.keystr(path), leaf) for path, leaf in leaves)
    return {name: np.asarray(leaf) for name, leaf in named if name in kept}


def halved(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of floating point in float16; single numbers as they are."""
    return {
        name: array.astype(np.float16)
        if array.ndim and np.issubdtype(array.dtype, np.floating)
        else array
        for name, array in arrays.items()
    }


def filled(template: PyTree, arrays: dict[str, np.ndarray], source: Path) -> PyTree:
    """The template with these leaves in place of its own, in its dtypes.

    Raises DamagedFile (of `source`) for a leaf that the template lacks or has in another shape, or
    that is not finite.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    own = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    if unknown := sorted(arrays.keys() - own.keys()):
        raise DamagedFile(source, None, f"the agent has no {unknown[0]}")
    for name, array in arrays.items():
        if array.shape != own[name].shape:
            raise DamagedFile(
                source, None, f"{name} is {list(array.shape)}, the agent's {list(own[name].shape)}"
            )
        if not np.isfinite(array).all():
            raise DamagedFile(source, None, f"{name} is not finite")
    return jax.tree_util.tree_unflatten(
        structure,
        [
            jnp.asarray(arrays[name], leaf.dtype) if name in arrays else leaf
            for name, leaf in own.items()
        ],
    )


def write_policy(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays in the order of their names: the same arrays give the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.stem}.tmp.npz")
    np.savez_compressed(temporary, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
    os.replace(temporary, file)


def load(entry: Entry, env: EnvSpec) -> tuple[Agent, PyTree]:
    """Agent and state that act as the published policy, without a network.

    Raises DamagedFile where the file is no policy of this agent, or lacks a leaf that acting reads.
    """
    file = entry.folder / POLICY
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except UNREADABLE as error:
        raise DamagedFile(file, None, str(error) or type(error).__name__) from error
    agent = agent_for(entry.spec, env)
    template = agent.init(entry.spec.seed)
    if missing := sorted(needed(agent, template, env) - arrays.keys()):
        raise DamagedFile(file, None, f"it lacks {missing[0]}")
    return agent, filled(template, arrays, file)
