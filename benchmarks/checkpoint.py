"""Checkpoints: everything a run needs to continue, written so that a crash at any moment leaves a whole one behind.

A checkpoint is a folder `checkpoints/<env_steps>` with the learner's state (`state.npz`, one array per leaf of the pytree, by
its path) and `meta.json` (run id, counters, byte positions of the run's files, the mark of the replay buffer, which
agents.replay saves piece by piece beside the checkpoints). It is written beside its place and renamed; the one before it is
kept. No pickle is involved, so loading runs no code.

A resumed run continues with the same parameters, buffer, counters and random keys, and starts the unfinished episodes anew; it
is not yet step-for-step the run that was never interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from agents.api import PyTree
from benchmarks.spec import BadInput

STATE, META = "state.npz", "meta.json"


def save(folder: Path, env_steps: int, state: PyTree, meta: Mapping[str, Any], keep: int = 2) -> Path:
    """Write a checkpoint and delete all but the newest `keep`. Waits for the learner."""
    folder.mkdir(parents=True, exist_ok=True)
    final, temporary = folder / f"{env_steps:012d}", folder / f".{env_steps:012d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    arrays, dtypes = _to_arrays(state)
    np.savez(temporary / STATE, allow_pickle=False, **arrays)
    text = json.dumps({**meta, "env_steps": env_steps, "dtypes": dtypes}, indent=1)
    (temporary / META).write_text(text, encoding="utf-8")
    for path in temporary.iterdir():
        _sync(path)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    _sync(folder)
    for old in _all(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    found = _all(folder)
    return found[-1] if found else None


def read_meta(path: Path, run_id: str) -> dict[str, Any]:
    """Counters and file positions. Raises BadInput when the checkpoint was made by another configuration or is damaged."""
    meta_file = path / META
    if not meta_file.is_file():
        raise BadInput(f"{path} holds no {META}: delete this folder to continue from the checkpoint before it")
    meta = json.loads(meta_file.read_text(encoding="utf-8"))
    if meta["run_id"] != run_id:
        raise BadInput(f"{path} belongs to run {meta['run_id']}, not to {run_id}: another configuration wrote it")
    return meta


def load_state(path: Path, template: PyTree) -> PyTree:
    """The saved state in the structure of `template` (what `agent.init` returns).

    Raises BadInput naming the first leaf that is missing, unknown, or of another shape or dtype.
    """
    dtypes = json.loads((path / META).read_text(encoding="utf-8"))["dtypes"]
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(key) for key, _ in leaves]
    with np.load(path / STATE, allow_pickle=False) as file:
        different = set(names) ^ set(file.files)
        if different:
            raise BadInput(f"{path / STATE} does not fit the agent: {sorted(different)[0]} is in only one of them")
        loaded = [_from_array(name, leaf, file[name], dtypes[name]) for name, (_, leaf) in zip(names, leaves, strict=True)]
        return jax.tree_util.tree_unflatten(structure, loaded)


def _to_arrays(state: PyTree) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    arrays, dtypes = {}, {}
    for key, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        name = jax.tree_util.keystr(key)
        if jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
            raise TypeError(f"the state holds a typed PRNG key at {name}; keep keys out of the learner's state")
        array = np.asarray(jax.device_get(leaf))
        dtypes[name] = array.dtype.name
        arrays[name] = array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array  # .npz knows no bfloat16
    return arrays, dtypes


def _from_array(name: str, leaf: Any, array: np.ndarray, dtype: str) -> Any:
    array = array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array
    wanted = np.asarray(leaf) if not hasattr(leaf, "dtype") else leaf
    if array.shape != wanted.shape or array.dtype != wanted.dtype:
        raise BadInput(f"saved {name} is {array.dtype}{list(array.shape)}, the agent's is {wanted.dtype}{list(wanted.shape)}")
    if isinstance(leaf, jax.Array):
        return jnp.asarray(array)
    return array if isinstance(leaf, np.ndarray) else type(leaf)(array)


def _all(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.is_dir() else []


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
