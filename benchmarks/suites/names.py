"""Names of methods, variants and tasks in tables and folders."""

from __future__ import annotations

from benchmarks.runs.plain_text import shortened

MAX_BYTES = 80  # of a variant in a folder's name; file systems allow 255 for the whole name
MAX_TASK_BYTES = 100


def label(method: str, variant: str) -> str:
    """Method, and variant where there is one."""
    return f"{method} [{variant}]" if variant else method


def file_name(text: str, max_bytes: int = MAX_BYTES) -> str:
    """Convert a variant or a task to part of a file name.

    Not unique: the other parts of the file name must distinguish two of them.
    """
    return shortened(
        "".join(c if c.isalnum() or c in "._=+-" else "-" for c in text).strip("-"), max_bytes
    )
