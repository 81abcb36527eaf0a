"""User-supplied paths for results.

`~` is expanded; write access, and that no run's own files would be replaced, are checked before any
work is done.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import OF_A_RUN, OF_A_STRESS_TEST, SPEC_FILE, STRESS_FILE


def user_path(text: str | os.PathLike[str]) -> Path:
    """Expand a leading `~`, which shells leave unexpanded in `--out=~/x`.

    Raises BadInput for an unknown user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise BadInput(f"{text}: {error}") from error


def possible_path(text: str | os.PathLike[str], option: str = "") -> Path:
    """Like `user_path`, for a path that need not exist.

    Also raises BadInput for paths that the file system cannot look up: a name that is too long, a
    NUL byte, a folder without access.
    """
    path = user_path(text)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise BadInput(f"{option} {_short(path)}: {_why(error)}".strip()) from error
    return path


def user_cache() -> Path:
    """The folder of the suite's caches: below `XDG_CACHE_HOME`, or `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "safedreamer"


def check_folder(
    folder: str | os.PathLike[str], option: str = "--out", *, of_run: bool = False
) -> None:
    """Raise BadInput unless files can be created in the folder, which need not exist yet.

    A run folder is refused unless `of_run`: results there would replace or hide the run's own
    files. Leaves nothing behind.
    """
    folder = Path(folder)
    with _refused(folder, option), _made(folder):
        if not of_run and (folder / SPEC_FILE).exists():
            raise BadInput(f"{option} {_short(folder)} is a run folder: choose another one")
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{_short(folder)} is a file; {option} must be a folder")
        handle, probe = tempfile.mkstemp(prefix=".probe-", dir=folder)
        os.close(handle)
        os.unlink(probe)


def check_file(file: str | os.PathLike[str], option: str = "--out") -> None:
    """Raise BadInput unless the file can be written; its folder need not exist yet.

    Own files of a run or a stress test are refused. Leaves nothing behind, and an existing file
    unchanged.
    """
    file = Path(file)
    with _refused(file, option), _made(file.parent):
        for part in (file, *file.parents):
            if part.name in OF_A_RUN and (part.parent / SPEC_FILE).exists():
                raise BadInput(
                    f"{option} {_short(file)} belongs to the run in {_short(part.parent)}: choose "
                    "another one"
                )
        if file.name in OF_A_STRESS_TEST and (file.parent / STRESS_FILE).exists():
            raise BadInput(
                f"{option} {_short(file)} belongs to the stress test in {_short(file.parent)}: "
                "choose another one"
            )
        if file.is_dir():
            raise BadInput(f"{option} {_short(file)} is a folder; give a file")
        there = file.exists()
        with file.open("ab"):
            pass
        if not there:
            file.unlink()


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Create the folder for the duration of the context; removes what it created."""
    made: list[Path] = []
    try:
        for part in (*reversed(folder.absolute().parents), folder.absolute()):
            if not part.exists():
                part.mkdir()
                made.append(part)
        yield
    finally:
        with contextlib.suppress(OSError):
            for part in reversed(made):
                part.rmdir()


@contextlib.contextmanager
def _refused(place: Path, option: str) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{option} {_short(place)} cannot be written to ({_why(error)}): choose another one"
        ) from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) < 200 else f"{text[:100]}...{text[-60:]}"
