"""Exclusive ownership of a run folder by one process, also across hosts with a shared file system.

The folder of a dead owner is taken over.

On one kernel `flock` decides, exactly and at once. Across hosts it works on some file systems only,
so the owner also writes `owner.json`, and shows that it is alive by the heartbeat in `status.json`.
A contender observes for a while whether the heartbeat advances; clocks of two hosts are never
compared. `owner.json` is created by a link and removed by a rename, which are atomic on NFS too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.files import LOCK_FILE, OWNER_FILE, STATUS_FILE
from benchmarks.runs.reading import DamagedFile, read_object, typed
from benchmarks.runs.status import LEASE_SECONDS
from benchmarks.runs.writing import is_full_disk

LOOK_SECONDS = 0.1
# identifies the kernel: host names are not unique among containers
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Owner(NamedTuple):
    """The process that owns a run folder."""

    token: str
    host: str
    boot: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class LostOwnership(RunFailed):
    """Another process took over the folder; continuing would write into its run."""


class Ownership:
    """A folder owned by this process. Call `check` on every heartbeat."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        self._folder, self.owner = folder, owner
        self._missed = 0

    def check(self) -> None:
        """Raise LostOwnership if another process owns the folder, OSError or DamagedFile if its
        owner cannot be read.

        One miss is tolerated: a process that removes a dead owner renames the file briefly.
        """
        found = read_owner(self._folder)
        self._missed = 0 if found == self.owner else self._missed + 1
        if self._missed > 1:
            raise LostOwnership(
                f"{self._folder} was taken over by {found or 'another process'}, which saw no "
                "heartbeat of ours; this process ends so that the run is not written twice"
            )


@contextlib.contextmanager
def own(
    folder: Path,
    say: Callable[[str], None] = lambda _: None,
    lease_seconds: float = LEASE_SECONDS,
    boot: str | None = None,
) -> Iterator[Ownership]:
    """Own `folder` for the duration of the context.

    `boot` identifies the kernel (for tests). Raises BadInput if another owner is alive.
    """
    owner = Owner(uuid.uuid4().hex, socket.gethostname(), boot or _boot(), os.getpid())
    with _flock(folder) as exact:
        previous = read_owner(folder)
        if previous is not None:
            if not (exact and previous.boot == owner.boot):
                say(
                    f"{folder} belongs to {previous}; watching for {lease_seconds:g} s whether "
                    "it is alive"
                )
                if _beats(folder, lease_seconds):
                    raise _in_use(folder, previous)
            _remove(folder, previous)
            say(f"{previous} owned {folder} and is gone; this process takes over")
        _create(folder, owner)
        try:
            yield Ownership(folder, owner)
        finally:
            # a file left behind counts as a dead owner's: the lock is free
            with contextlib.suppress(OSError, DamagedFile):
                if read_owner(folder) == owner:
                    (folder / OWNER_FILE).unlink(missing_ok=True)


def read_owner(folder: str | os.PathLike[str]) -> Owner | None:
    """Return the owner of the folder, or None. Raises DamagedFile."""
    try:
        return _read(Path(folder) / OWNER_FILE)
    except FileNotFoundError:
        return None


def died(folder: str | os.PathLike[str], boot: str | None = None) -> bool:
    """Whether the owner was a process of this kernel that has ended; False if unknown."""
    folder = Path(folder)
    try:
        owner = read_owner(folder)
        if owner is None or owner.boot != (boot or _boot()):
            return False
        with (folder / LOCK_FILE).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (OSError, DamagedFile):
        return False
    return True


def _read(path: Path) -> Owner:
    try:
        return typed(Owner, read_object(path), path)
    except DamagedFile as error:
        why = f"{error.why}; delete it when no process trains there"
        raise DamagedFile(path, error.line, why) from error.__cause__


def _boot() -> str:
    return _BOOT_ID.read_text().strip()


def _in_use(folder: Path, owner: Owner | None) -> BadInput:
    return BadInput(
        f"{folder} is in use: {owner or 'another process'} is training there; choose another "
        "--out, or stop it first"
    )


@contextlib.contextmanager
def _flock(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; yields whether the file system supports locks.

    Raises BadInput if another process holds it.
    """
    try:
        opened = (folder / LOCK_FILE).open("w")
    except OSError as error:
        if is_full_disk(error):
            raise
        raise DamagedFile(folder / LOCK_FILE, None, error.strerror or str(error)) from error
    with opened as lock:
        exact = True
        for last in (False, False, True):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if last:
                    raise _in_use(folder, read_owner(folder)) from error
                time.sleep(LOOK_SECONDS)  # `died` holds it briefly
            except OSError:  # no locks on this file system: heartbeats decide
                exact = False
                break
        yield exact


def _beats(folder: Path, lease_seconds: float) -> bool:
    """Whether the status file is rewritten within the lease."""

    def stamp() -> bytes:
        try:
            return (folder / STATUS_FILE).read_bytes()
        except FileNotFoundError:
            return b""

    before, deadline = stamp(), time.monotonic() + lease_seconds
    while time.monotonic() < deadline:
        time.sleep(min(0.5, lease_seconds / 10))
        if stamp() != before:
            return True
    return False


def _remove(folder: Path, dead: Owner) -> None:
    """Remove a dead owner's file.

    Raises BadInput if another process was faster; its file is restored.
    """
    aside = folder / f".{OWNER_FILE}.{uuid.uuid4().hex}"
    try:
        os.rename(folder / OWNER_FILE, aside)
    except FileNotFoundError as error:
        raise _in_use(folder, None) from error
    found = _read(aside)
    if found != dead:
        with contextlib.suppress(FileExistsError):
            os.link(aside, folder / OWNER_FILE)
        aside.unlink()
        raise _in_use(folder, found)
    aside.unlink()


def _create(folder: Path, owner: Owner) -> None:
    """Create the owner's file, atomically on file systems with hard links.

    Raises BadInput if another process was faster.
    """
    draft, text = folder / f".{OWNER_FILE}.{owner.token}", json.dumps(owner._asdict())
    draft.write_text(text, encoding="utf-8")
    try:
        try:
            os.link(draft, folder / OWNER_FILE)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            with (folder / OWNER_FILE).open("x", encoding="utf-8") as file:  # without hard links
                file.write(text)
    except FileExistsError as error:
        raise _in_use(folder, read_owner(folder)) from error
    finally:
        draft.unlink()
