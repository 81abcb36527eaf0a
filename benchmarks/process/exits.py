"""Exit statuses of commands for expected errors; any other error keeps its traceback."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.plain_text import printable

FAILED, BAD_INPUT = 1, 2
OF_FILES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOENT)


def explained(prog: str, command: Callable[[], int]) -> int:
    """Run the command and return its status: BAD_INPUT for a user error, FAILED for a run that
    failed or a file that cannot be read or written, each with a line on stderr.
    """
    try:
        return command()
    except BadInput as error:
        print(printable(f"{prog}: error: {error}"), file=sys.stderr)
        return BAD_INPUT
    except RunFailed as error:
        print(printable(f"{prog}: {error}"), file=sys.stderr)
        return FAILED
    except OSError as error:
        if error.errno not in OF_FILES or getattr(sys.stdout, "failed", None) is error:
            raise  # a bug, or an error of stdout
        file = error.filename2 or error.filename
        where = "" if file is None else f"{file}: "
        print(printable(f"{prog}: error: {where}{error.strerror}"), file=sys.stderr)
        return FAILED
