"""Text from outside made safe to print and to name files with.

No control characters, lengths counted where they matter.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

MAX_SHOWN = 500  # characters of foreign text in one message


def printable(text: str, limit: int | None = None) -> str:
    """The text with control, format and unpaired surrogate characters as escapes, so that a
    terminal obeys none of them.

    Line breaks and tabs stay. With a `limit`, what is longer is cut in the middle.
    """
    if limit is not None and len(text) > limit:
        text = f"{text[: limit // 2]} ... {text[len(text) - limit // 2 :]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else _escape(c)
        for c in text
    )


def one_line(text: str, limit: int = MAX_SHOWN) -> str:
    """Foreign text within a message: printable, on one line, bounded."""
    return printable(" ".join(text.split()), limit)


def shortened(text: str, max_bytes: int) -> str:
    """The longest beginning of the text that UTF-8 spells in at most so many bytes.

    File systems count bytes.
    """
    return text.encode("utf-8", errors="replace")[:max_bytes].decode("utf-8", errors="ignore")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean A, B?` with at most three known names near a wrong one, "" without any.

    Case does not matter.
    """
    lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)
    return f"; did you mean {', '.join(lower[match] for match in near)}?" if near else ""


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
