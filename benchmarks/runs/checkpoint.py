"""Checkpoints: everything a run needs to resume exactly, written so that a crash at any moment
leaves a valid one.

A checkpoint is a folder `checkpoints/<env_steps>` with one .npz per pytree (the learner's state,
the policy's carry, the loop's own arrays; one array per leaf, by its path), `meta.json` (run id,
counters, byte positions of the run's files, the mark of the replay buffer, which
agents.replay.buffer saves incrementally next to the checkpoints) and `SHA256SUMS` (verified by
`sha256sum -c`). It is written to a temporary folder and renamed; the previous one is kept, for use
if the newest is damaged. Nothing is pickled, so loading runs no code. Trees that are flat dicts of
NumPy arrays are written and read without importing JAX.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from agents.api import PyTree
from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import DamagedFile, expect, read_object, read_text, sha256_of
from benchmarks.runs.writing import is_full_disk

FORMAT = 2  # version of the contents; others are refused
LEARNER, META, SUMS = "learner", "meta.json", "SHA256SUMS"
KEEP = 2  # checkpoints kept per run; one more during a save
ASIDE = ".aside"  # suffix of a checkpoint that is being replaced by another of the same step


# Raised by NumPy and zipfile for files that are not archives of arrays.
_UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, SyntaxError),
    *(OverflowError, MemoryError, NotImplementedError, RecursionError),
    *(zipfile.BadZipFile, zlib.error),
)


class Found(NamedTuple):
    """The newest intact checkpoint, if any, and what is wrong with newer ones."""

    path: Path | None
    damaged: tuple[tuple[Path, str], ...]


def save(
    folder: str | os.PathLike[str],
    env_steps: int,
    trees: Mapping[str, PyTree],
    meta: Mapping[str, Any],
    keep: int = KEEP,
) -> Path:
    """Write a checkpoint of named pytrees and delete all but the newest `keep`.

    Waits for the learner. A failure (such as a full disk) leaves earlier checkpoints unchanged.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    final, temporary = folder / f"{env_steps:012d}", folder / f".{env_steps:012d}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write(temporary, trees, {**meta, "format": FORMAT, "env_steps": env_steps})
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    aside = folder / f".{final.name}{ASIDE}"
    # a second save at the same step: a crash between the two renames leaves the first one aside
    if final.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(final, aside)
    os.replace(temporary, final)
    _sync(folder)
    shutil.rmtree(aside, ignore_errors=True)
    for old in _all(folder)[:-keep]:
        shutil.rmtree(old)
    return final


@contextlib.contextmanager
def explain_full_disk(run: Path) -> Iterator[None]:
    """Turn errors of a full disk under the folder `run` into BadInput that says what to do.

    The newest checkpoint stays intact.
    """
    try:
        yield
    except OSError as error:
        if not is_full_disk(error):
            raise
        raise BadInput(
            f"no space is left in {run} ({error}); its newest checkpoint is intact: free space; "
            "the same command continues from there"
        ) from error


def _write(folder: Path, trees: Mapping[str, PyTree], meta: Mapping[str, Any]) -> None:
    dtypes = {}
    for name, tree in trees.items():
        arrays, dtypes[name] = _to_arrays(tree)
        np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    (folder / META).write_text(json.dumps({**meta, "dtypes": dtypes}, indent=1), encoding="utf-8")
    sums = [f"{sha256_of(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)


def find(
    folder: str | os.PathLike[str], usable: Callable[[Path], str | None] = lambda _: None
) -> Found:
    """Find the newest intact checkpoint, and newer ones that are damaged.

    `usable(path)` returns what else is wrong with an intact one, or None.
    """
    folder = Path(folder)
    damaged = []
    for path in reversed(_all(folder)):
        fault = _fault(path) or usable(path)
        if fault is None:
            return Found(path, tuple(damaged))
        damaged.append((path, fault))
    return Found(None, tuple(damaged))


def set_aside(path: str | os.PathLike[str]) -> Path:
    """Rename a damaged checkpoint, so that it is ignored but not lost. Returns its new path."""
    path = Path(path)
    name = path.name.strip(".").removesuffix(ASIDE)
    for number in range(1000):
        aside = path.with_name(f"damaged-{name}" + (f"-{number}" if number else ""))
        if not aside.exists():
            os.replace(path, aside)
            return aside
    raise BadInput(
        f"{path.parent} holds a thousand damaged checkpoints of step {path.name}: something "
        "destroys them; check the disk"
    )


def _fault(path: Path) -> str | None:
    """What is wrong with a checkpoint's content, or None."""
    try:
        lines = read_text(path / SUMS).splitlines()
    except FileNotFoundError:
        return f"it holds no {SUMS}"
    except DamagedFile as error:
        return f"{SUMS} cannot be read ({error.why})"
    expected_sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    try:
        there = {file.name for file in path.iterdir()} - {SUMS}
        if META not in expected_sums or there - expected_sums.keys():
            return f"{SUMS} is cut short"
        for name, expected in expected_sums.items():
            if not (path / name).is_file():
                return f"{one_line(name)} is missing"
            if sha256_of(path / name) != expected:
                return f"{one_line(name)} is not what was written"
    except (OSError, ValueError) as error:
        return one_line(f"it cannot be read ({error})")
    return None


def unreadable(path: str | os.PathLike[str]) -> str | None:
    """Why arrays of a checkpoint cannot be read although its checksums match, or None."""
    path = Path(path)
    try:
        meta = _meta(path)
        for name in meta["dtypes"]:
            read_arrays(path / f"{name}.npz")
    except DamagedFile as error:
        return str(error)
    return None


def read_meta(path: str | os.PathLike[str], run_id: str) -> dict[str, Any]:
    """Read counters and file positions. Raises BadInput for another configuration or format."""
    path = Path(path)
    meta = _meta(path)
    if meta.get("format") != FORMAT:
        raise BadInput(
            f"{path} has format {meta.get('format', 1)}, this version reads {FORMAT}: continue "
            "the run with the commit that its spec.json names, or start a new one"
        )
    expect(meta, {"run_id": str, "counters": dict}, path / META)
    if meta["run_id"] != run_id:
        raise BadInput(
            f"{path} belongs to run {meta['run_id']}, not to {run_id}: another configuration "
            "wrote it"
        )
    return meta


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta = read_object(path / META)
    except FileNotFoundError as error:
        raise DamagedFile(path / META, None, "it is missing") from error
    if meta.get("format") == FORMAT:  # `read_meta` reports other formats
        expect(meta, {"dtypes": dict}, path / META)
    return meta


def load(path: str | os.PathLike[str], name: str, template: PyTree) -> PyTree:
    """Load a tree in the structure of `template` (for the learner what `agent.init` returns).

    Raises BadInput naming the first leaf that is missing, unknown, of another shape or dtype, or
    not finite although the template is (NaN parameters would otherwise act unnoticed), DamagedFile
    if the arrays cannot be read.
    """
    path = Path(path)
    import jax

    dtypes = _meta(path)["dtypes"].get(name, {})
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(key) for key, _ in leaves]
    saved = read_arrays(path / f"{name}.npz")
    if different := sorted(set(names) ^ set(saved)):
        raise BadInput(
            f"{path / name}.npz does not fit the agent: {different[0]} is in only one of them"
        )
    loaded = []
    for key, (_, leaf) in zip(names, leaves, strict=True):
        dtype = str(dtypes.get(key, saved[key].dtype.name))
        loaded.append(_from_array(key, leaf, saved[key], dtype))
    for key, (_, leaf), value in zip(names, leaves, loaded, strict=True):
        if not finite(value) and finite(leaf):
            raise BadInput(
                f"{path / name}.npz is not finite in {key}: the run diverged before it was "
                "saved, or the file was changed"
            )
    return jax.tree_util.tree_unflatten(structure, loaded)


def load_flat(path: str | os.PathLike[str], name: str) -> dict[str, np.ndarray]:
    """Load a tree that is a flat dict of arrays, without a template."""
    path = Path(path)
    return {
        key.removeprefix("['").removesuffix("']"): array
        for key, array in read_arrays(path / f"{name}.npz").items()
    }


def finite(value: Any) -> bool:
    """Whether an array has no NaN or infinity; True for dtypes without them."""
    array = np.asarray(value)
    if array.dtype == ml_dtypes.bfloat16:
        array = array.astype(np.float32)
    return not np.issubdtype(array.dtype, np.inexact) or bool(np.isfinite(array).all())


def read_arrays(file: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file. Raises DamagedFile if it is not an archive of arrays."""
    file = Path(file)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except FileNotFoundError as error:
        raise DamagedFile(file, None, "it is missing") from error
    except _UNREADABLE as error:
        raise DamagedFile(file, None, str(error) or type(error).__name__) from error


def _to_arrays(state: PyTree) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    # without importing JAX
    if isinstance(state, dict) and all(type(leaf) is np.ndarray for leaf in state.values()):
        arrays = {f"['{name}']": leaf for name, leaf in state.items()}
        return arrays, {name: leaf.dtype.name for name, leaf in arrays.items()}
    import jax
    import jax.numpy as jnp

    arrays, dtypes = {}, {}
    for key, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        name = jax.tree_util.keystr(key)
        if jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key):
            raise TypeError(
                f"the state holds a typed PRNG key at {name}; keep keys out of the learner's state"
            )
        array = np.asarray(jax.device_get(leaf))
        dtypes[name] = array.dtype.name
        # .npz does not support bfloat16
        arrays[name] = array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array
    return arrays, dtypes


def _from_array(name: str, leaf: Any, array: np.ndarray, dtype: str) -> Any:
    array = array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array
    wanted = np.asarray(leaf) if not hasattr(leaf, "dtype") else leaf
    if array.shape != wanted.shape or array.dtype != wanted.dtype:
        raise BadInput(
            f"saved {name} is {array.dtype}{list(array.shape)}, the agent's is "
            f"{wanted.dtype}{list(wanted.shape)}"
        )
    import jax
    import jax.numpy as jnp

    if isinstance(leaf, jax.Array):
        return jnp.asarray(array)
    return array if isinstance(leaf, np.ndarray) else type(leaf)(array)


def _all(folder: Path) -> list[Path]:
    """Checkpoints by step, including one left aside by a crash before its successor was placed."""
    if not folder.is_dir():
        return []
    found = {path.name: path for path in folder.glob("[0-9]*") if path.is_dir()}
    for aside in folder.glob(f".[0-9]*{ASIDE}"):
        found.setdefault(aside.name.strip(".").removesuffix(ASIDE), aside)
    return [path for _, path in sorted(found.items())]


def fingerprint(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a checkpoint's SHA256SUMS, and so of all its contents."""
    return sha256_of(Path(path) / SUMS)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
