"""Files that are replaced in one step, or appended to row by row."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the name of a temporary file, which replaces `path` when the context ends.

    After an error nothing is replaced and the temporary file is removed; an OSError without a file,
    as of a full disk, gets the name of `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:60]}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # of a process that was killed
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = os.fspath(path)
        raise


def replace_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file so that readers see its old or its new text, whatever happens meanwhile."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that no space is left, or that a quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class Appended:
    """A text file that is open for appending."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = self.path.open("a", newline="", encoding="utf-8")

    def position(self) -> int:
        """Bytes written so far; a checkpoint stores it so that a resume can drop later rows."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size

    def cut(self, position: int) -> None:
        """Drop the rows written after `position`; the next row follows there."""
        self._file.flush()
        os.truncate(self.path, position)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
