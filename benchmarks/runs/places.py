"""Places that a user names for results.

`~` is expanded, and whether files can be made there is tried before any work is done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from benchmarks.runs.errors import BadInput


def user_path(text: str | Path) -> Path:
    """The path with a leading `~` expanded, which shells leave alone in `--out=~/x`.

    Raises BadInput for an unknown user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise BadInput(f"{text}: {error}") from error


def check_folder(folder: Path, option: str = "--out") -> None:
    """Raise BadInput unless files can be made in the folder, which need not exist yet.

    Leaves nothing behind.
    """
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file; {option} must be a folder")
        for part in (*reversed(folder.absolute().parents), folder.absolute()):
            if not part.exists():
                part.mkdir()
                made.append(part)
        handle, probe = tempfile.mkstemp(prefix=".probe-", dir=folder)
        os.close(handle)
        os.unlink(probe)
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # a full disk has a message of its own
        raise BadInput(
            f"{option} {_short(folder)} cannot be written to ({_why(error)}): choose another one"
        ) from error
    finally:
        for part in reversed(made):
            with contextlib.suppress(OSError):
                part.rmdir()


def check_file(file: Path, option: str = "--out") -> None:
    """Raise BadInput unless the file can be written; its folder need not exist yet.

    Leaves nothing behind.
    """
    if file.is_dir():
        raise BadInput(f"{option} {file} is a folder; give a file")
    check_folder(file.parent, option)
    if file.parent.is_dir():
        try:
            there = file.exists()
            with file.open("ab"):
                pass
            if not there:
                file.unlink()
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{option} {_short(file)} cannot be written ({_why(error)}): choose another one"
            ) from error


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) < 200 else f"{text[:100]}...{text[-60:]}"
