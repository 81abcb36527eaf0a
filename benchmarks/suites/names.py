"""What tables and folders call a method with a variant."""

from __future__ import annotations

MAX_CHARS = 80  # of a variant in a folder's name; file systems allow 255 for all of it


def label(method: str, variant: str) -> str:
    """Method, and variant where there is one."""
    return f"{method} [{variant}]" if variant else method


def file_name(variant: str) -> str:
    """A variant as part of a file name; what else a file name holds tells two variants apart."""
    return "".join(c if c.isalnum() or c in "._=+" else "-" for c in variant).strip("-")[:MAX_CHARS]
