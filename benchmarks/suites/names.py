"""What tables and folders call a method with a variant."""

from __future__ import annotations

from benchmarks.runs.plain_text import shortened

MAX_BYTES = 80  # of a variant in a folder's name; file systems allow 255 for all of it
MAX_TASK_BYTES = 100


def label(method: str, variant: str) -> str:
    """Method, and variant where there is one."""
    return f"{method} [{variant}]" if variant else method


def file_name(text: str, max_bytes: int = MAX_BYTES) -> str:
    """A variant or a task as part of a file name.

    What else a file name holds tells two of them apart.
    """
    return shortened(
        "".join(c if c.isalnum() or c in "._=+-" else "-" for c in text).strip("-"), max_bytes
    )
