"""Storage of replay rows: arrays in memory, or memory-mapped files.

Sizes are checked before anything is allocated.

Both kinds are lazy: pages are committed when rows are first written, so a fresh replay takes no
space and a full one `memory_bytes`.
One million vision transitions (two 64 x 64 x 3 uint8 images, two actions) are 24.6 GB.
The ring and sampling are in `buffer.py`.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from agents.api import ArraySpec

ROW_DTYPES = ("uint8", "int32", "float32", "bool")  # as stored; wider floats are stored as float32
LOCK = "replay.lock"  # in the directory of mapped arrays; stays there, and marks them as a replay's


class ReplaySizeError(ValueError):
    """The replay does not fit into memory or onto the disk.

    The message names the setting to change.
    """


def check_specs(specs: Mapping[str, ArraySpec]) -> None:
    """Reject empty specs, names that are not valid file names, unsupported dtypes and negative
    sizes.
    """
    if not specs:
        raise ValueError("a replay needs at least one array in `specs`")
    for key, spec in specs.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
            raise ValueError(
                f"replay key {key!r} must consist of letters, digits, '_' and '-' (it names a file)"
            )
        if spec.dtype not in ROW_DTYPES:
            raise ValueError(
                f"replay key {key!r} has dtype {spec.dtype!r}, stored are {', '.join(ROW_DTYPES)}"
            )
        if any(size < 0 for size in spec.shape):
            raise ValueError(f"replay key {key!r} has a negative size in shape {spec.shape}")


def row_bytes(specs: Mapping[str, ArraySpec]) -> int:
    """Bytes of one transition of one stream."""
    return sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs.values())


def memory_bytes(specs: Mapping[str, ArraySpec], capacity: int) -> int:
    """Bytes of a full replay of `capacity` transitions."""
    return capacity * row_bytes(specs)


def _cgroup_available_bytes() -> list[int]:
    """Memory left to this process by its control groups (Slurm jobs, containers), one number per
    limit found.
    """
    found = []
    try:
        entries = Path("/proc/self/cgroup").read_text().splitlines()
    except FileNotFoundError:  # not Linux
        return found
    for entry in entries:
        _, controllers, group = entry.split(":", 2)
        if controllers == "":
            root, limit_name, used_name = Path("/sys/fs/cgroup"), "memory.max", "anon"
        elif controllers == "memory":
            root = Path("/sys/fs/cgroup/memory")
            limit_name, used_name = "memory.limit_in_bytes", "total_rss"
        else:
            continue
        inner = root / group.lstrip("/")
        for folder in [inner, *inner.parents]:
            if folder != root and root not in folder.parents:
                break
            limit, stat = folder / limit_name, folder / "memory.stat"
            if not (limit.is_file() and stat.is_file()) or limit.read_text().strip() == "max":
                continue
            # file caches can be reclaimed, so they do not count
            used = dict(line.split() for line in stat.read_text().splitlines())
            found.append(max(0, int(limit.read_text()) - int(used.get(used_name, 0))))
    return found


def available_memory_bytes() -> int:
    """Bytes this process can still allocate without swapping.

    The machine's free memory, or less within a control group.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except FileNotFoundError:  # not Linux: only the physical memory is known
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = next(
        int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")
    )
    return min([machine, *_cgroup_available_bytes()])


def check_fits(needed: int, available: int, capacity: int, place: str) -> None:
    """Raise ReplaySizeError, naming the fix, if `needed` bytes for `capacity` transitions exceed
    those available.
    """
    if needed <= available:
        return
    affordable = int(capacity * available / needed)
    fix = "DIR to keep it on disk" if place == "memory" else "on a larger disk"
    raise ReplaySizeError(
        f"a replay of {capacity} transitions needs {needed / 1e9:.1f} GB, but {place} has "
        f"{available / 1e9:.1f} GB free: use --replay.directory {fix} or a smaller "
        f"--replay.capacity (at most {affordable} fit)"
    )


def allocate(
    specs: Mapping[str, ArraySpec], streams: int, slots: int, rows: int
) -> dict[str, np.ndarray]:
    """Arrays [streams, slots, ...] in memory, zero, lazily committed; `rows` of them must fit."""
    check_fits(memory_bytes(specs, rows), available_memory_bytes(), rows, "memory")
    return {key: np.zeros((streams, slots, *spec.shape), spec.dtype) for key, spec in specs.items()}


def allocate_mapped(
    specs: Mapping[str, ArraySpec], streams: int, slots: int, rows: int, directory: Path
) -> tuple[dict[str, np.ndarray], IO[bytes]]:
    """Arrays [streams, slots, ...] mapped to `directory`/KEY.npy, and the lock file that excludes
    other processes while open; `rows` of them must fit.

    The files are scratch space of one process: those of an earlier replay, which left its lock file
    there, are replaced (`journal.save` persists a replay). Raises ReplaySizeError if the disk is
    too small, ValueError if another open replay uses the directory, or it holds other files of the
    same names.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = {key: directory / f"{key}.npy" for key in specs}
    # looked for before the lock, which a replay creates before its arrays
    foreign = [path.name for path in paths.values() if os.path.lexists(path)]
    if foreign and not (directory / LOCK).exists():
        raise ValueError(
            f"{directory} holds {', '.join(foreign)}, which no replay wrote and this one would "
            "delete: choose an empty or new --replay.directory"
        )
    lock = (directory / LOCK).open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ValueError(
            f"{directory} is in use by another replay: give each run its own --replay.directory"
        ) from error
    try:
        for path in paths.values():
            path.unlink(missing_ok=True)
        free = shutil.disk_usage(directory).free
        check_fits(memory_bytes(specs, rows), free, rows, str(directory))
        arrays = {
            key: np.lib.format.open_memmap(
                paths[key], mode="w+", dtype=spec.dtype, shape=(streams, slots, *spec.shape)
            )
            for key, spec in specs.items()
        }
    except BaseException:
        lock.close()
        raise
    return {key: np.asarray(array) for key, array in arrays.items()}, lock
