"""Persistence of a replay as append-only segments with a manifest; a save writes only new rows.

A save directory holds `segment_NNNNNN.npz` files (rows start..stop-1 of all streams) and
`manifest.json`, which lists them and is replaced atomically, last: a crash at any moment leaves the
previous manifest with all its segments. A save is identified by its mark, the number of rows per
stream at that moment. The last `KEPT_MARKS` saves can be loaded, so that a run killed between
saving the replay and saving the learner can restore the replay of its older learner. Saving after
loading an older mark drops the newer ones. Segments that no kept mark needs are deleted once the
manifest is in place.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from agents.api import ArraySpec
from agents.replay.storage import row_bytes

VERSION = 1
KEPT_MARKS = 3  # two checkpoints are kept; a third replay may be saved before a crash
# upper bound of one segment, so that saving a large replay needs little extra memory
SEGMENT_BYTES = 256 * 2**20


# Raised by NumPy and zipfile for files that are not archives of arrays.
_UNREADABLE = (
    *(OSError, KeyError, ValueError, EOFError, TypeError, OverflowError, MemoryError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error),
)


class SavedMark(NamedTuple):
    """The save that a replay's content continues."""

    directory: Path
    mark: int


class Rows(Protocol):
    """The part of `agents.replay.buffer.Replay` that saving and loading use."""

    added: int  # rows per stream since the start of the run
    saved: SavedMark | None

    @property
    def specs(self) -> Mapping[str, ArraySpec]: ...
    @property
    def num_streams(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def held(self) -> int: ...
    def read_rows(self, start: int, stop: int, /) -> dict[str, np.ndarray]: ...
    def write_rows(self, start: int, rows: Mapping[str, np.ndarray], /) -> None: ...
    def clear(self) -> None: ...


def save(replay: Rows, directory: str | os.PathLike[str]) -> int:
    """Write the rows added since the last save to `directory`; returns the mark.

    Raises ValueError if the directory belongs to another replay.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    manifest = _manifest_to_continue(replay, directory)
    mark = replay.added
    base = replay.saved.mark if manifest["marks"] and replay.saved else 0
    # Saves after the mark that was loaded are superseded by the replay's own rows.
    segments = [segment for segment in manifest["segments"] if segment["stop"] <= base]
    marks = [old for old in manifest["marks"] if old <= base]
    start = max(base, mark - replay.held)
    rows_per_segment = max(1, SEGMENT_BYTES // (row_bytes(replay.specs) * replay.num_streams or 1))
    for first in range(start, mark, rows_per_segment):
        stop = min(first + rows_per_segment, mark)
        name = f"segment_{manifest['next_serial']:06d}.npz"
        manifest["next_serial"] += 1
        with _atomic(directory / name) as file:
            rows: Any = {f"rows_{k}": v for k, v in replay.read_rows(first, stop).items()}
            np.savez(file, **rows)
        segments.append({"file": name, "start": first, "stop": stop})
    marks = [*(old for old in marks if old != mark), mark][-KEPT_MARKS:]
    oldest = min(marks) - replay.slots
    manifest["marks"] = marks
    manifest["segments"] = [segment for segment in segments if segment["stop"] > oldest]
    with _atomic(directory / "manifest.json") as file:
        file.write(json.dumps(manifest, indent=1).encode())
    listed = {segment["file"] for segment in manifest["segments"]}
    for path in [*directory.glob("segment_*.npz"), *directory.glob("*.partial")]:
        if path.name not in listed:
            path.unlink()
    replay.saved = SavedMark(directory, mark)
    return mark


def load(replay: Rows, directory: str | os.PathLike[str], mark: int) -> None:
    """Replace the content of `replay` by the save `mark`.

    Raises ValueError if that save is missing or has another layout (`replay` is unchanged), or is
    damaged (`replay` is then empty).
    """
    directory = Path(directory)
    manifest = _manifest_of(directory, mark)
    _check_layout(replay, manifest, directory)
    replay.clear()
    for segment, first, stop in _covering(manifest, mark, directory):
        start = segment["start"]
        rows = _read_segment(replay, directory / segment["file"], segment["stop"] - start)
        replay.write_rows(
            first, {key: value[:, first - start : stop - start] for key, value in rows.items()}
        )
    replay.added = mark
    replay.saved = SavedMark(directory.resolve(), mark)


def check(directory: str | os.PathLike[str], mark: int) -> None:
    """Raise ValueError unless the save `mark` is intact.

    Checks its manifest and the checksums in the archives of all its segments.
    """
    directory = Path(directory)
    for segment, _, _ in _covering(_manifest_of(directory, mark), mark, directory):
        path = directory / segment["file"]
        try:
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
        except _UNREADABLE as error:
            raise ValueError(f"{path} is damaged or missing: {error}") from error
        if broken is not None:
            raise ValueError(f"{path} is damaged: {broken!r:.100} is not what was written")


def _manifest_of(directory: Path, mark: int) -> dict[str, Any]:
    """The manifest of a directory that holds the save `mark`; raises ValueError otherwise."""
    manifest = _read_manifest(directory)
    if manifest is None:
        raise ValueError(f"{directory} holds no saved replay (manifest.json is missing)")
    if mark not in manifest["marks"]:
        raise ValueError(
            f"{directory} holds no save with mark {mark}, it holds {manifest['marks']}"
        )
    return manifest


def _covering(
    manifest: dict[str, Any], mark: int, directory: Path
) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Segments of the save `mark`, each with the first of its rows that belong to the save and the
    one after the last.

    Raises ValueError at the first gap.
    """
    expected = max(0, mark - manifest["slots"])
    for segment in manifest["segments"]:
        first, stop = max(segment["start"], expected), min(segment["stop"], mark)
        if first >= stop:
            continue
        if first != expected:
            raise ValueError(f"{directory} lacks rows {expected}..{first}")
        yield segment, first, stop
        expected = stop
    if expected != mark:
        raise ValueError(f"{directory} lacks rows {expected}..{mark}")


def _manifest_to_continue(replay: Rows, directory: Path) -> dict[str, Any]:
    manifest = _read_manifest(directory)
    continues = replay.saved is not None and replay.saved.directory == directory
    if manifest is None:
        if continues:
            raise ValueError(
                f"{directory} lost its manifest.json since the last save: save to an empty "
                "directory"
            )
        empty = {"next_serial": 0, "marks": [], "segments": []}
        return {"version": VERSION, **_layout(replay), **empty}
    _check_layout(replay, manifest, directory)
    if not continues or replay.saved is None or replay.saved.mark not in manifest["marks"]:
        raise ValueError(
            f"{directory} holds another saved replay: load it first, or save to an empty directory"
        )
    return manifest


def _read_manifest(directory: Path) -> dict[str, Any] | None:
    path = directory / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
        if version == VERSION:
            _check_fields(manifest)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise ValueError(f"{path} is not the manifest of a saved replay: {error!s:.200}") from error
    if version != VERSION:
        raise ValueError(f"{path} has format version {version!r:.40}, this code reads {VERSION}")
    return manifest


def _check_fields(manifest: dict[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError if a field is missing or has a wrong type."""
    whole = [manifest[name] for name in ("num_streams", "slots", "next_serial")]
    whole += [
        *manifest["marks"],
        *(segment[name] for segment in manifest["segments"] for name in ("start", "stop")),
    ]
    if any(type(value) is not int for value in whole) or not isinstance(manifest["specs"], dict):
        raise TypeError("a number or the specs are of another type")
    names = [segment["file"] for segment in manifest["segments"]]
    if any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise ValueError("a segment is not a file name")


def _layout(replay: Rows) -> dict[str, Any]:
    specs = {key: [list(spec.shape), spec.dtype] for key, spec in replay.specs.items()}
    return {"specs": specs, "num_streams": replay.num_streams, "slots": replay.slots}


def _check_layout(replay: Rows, manifest: dict[str, Any], directory: Path) -> None:
    ours, theirs = (
        {"num_streams": of["num_streams"], "slots per stream": of["slots"], **of["specs"]}
        for of in (_layout(replay), manifest)
    )
    differences = [
        f"{key}: saved {theirs.get(key)}, here {ours.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if differences:
        raise ValueError(
            f"the replay saved in {directory} has another layout ({'; '.join(differences)})"
        )


def _read_segment(replay: Rows, path: Path, count: int) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            rows = {key: file[f"rows_{key}"] for key in replay.specs}
    except _UNREADABLE as error:
        raise ValueError(f"{path} is damaged or missing: {error}") from error
    for key, spec in replay.specs.items():
        expected = (replay.num_streams, count, *spec.shape)
        if rows[key].shape != expected or rows[key].dtype != spec.dtype:
            raise ValueError(
                f"{path}: {key!r} is {rows[key].dtype}{rows[key].shape}, expected "
                f"{spec.dtype}{expected}"
            )
    return rows


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears at `path` only once complete and on disk."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # persist the rename
    finally:
        os.close(folder)
