"""Foreign text: made safe for printing and file names, and parsed as names and numbers.

Control characters are escaped, and lengths are bounded where they matter.
"""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Iterable

from benchmarks.runs.errors import BadInput

MAX_SHOWN = 500  # characters of foreign text in one message
FEW = 5  # up to this many valid names, a message lists all of them


def printable(text: str, limit: int | None = None) -> str:
    """Escape control, format and unpaired surrogate characters, so that a terminal does not
    interpret them.

    Line breaks and tabs are kept. Text longer than `limit` is cut in the middle.
    """
    if limit is not None and len(text) > limit:
        text = f"{text[: limit // 2]} ... {text[len(text) - limit // 2 :]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs")
        else c.encode("unicode_escape").decode()
        for c in text
    )


def one_line(text: str, limit: int = MAX_SHOWN) -> str:
    """Foreign text for use in a message: printable, on one line, bounded."""
    return printable(" ".join(text.split()), limit)


def shortened(text: str, max_bytes: int) -> str:
    """The longest prefix of the text with at most `max_bytes` in UTF-8.

    File systems limit names in bytes.
    """
    return text.encode("utf-8", errors="replace")[:max_bytes].decode("utf-8", errors="ignore")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean A, B?` with at most three known names similar to `name`, or "".

    Ignores case.
    """
    lower = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)
    return f"; did you mean {', '.join(lower[match] for match in near)}?" if near else ""


def choose(kind: str, name: str, valid: Iterable[str]) -> str:
    """Return `name` if it is valid.

    Otherwise raises BadInput with similar valid names, and with all of them if they are few or none
    is similar.
    """
    valid = list(valid)
    if name in valid:
        return name
    hint = did_you_mean(name, valid)
    if not hint or len(valid) <= FEW:
        hint += f"{'' if hint else ';'} valid: {', '.join(valid)}"
    raise BadInput(f"unknown {kind} {name!r}{hint}")


def whole_number(text: str) -> int:
    """Parse an integer, such as 2e6 or 2_000_000. Raises ValueError for others, such as 2.5."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value.is_integer():
        raise ValueError(f"{text!r} is not a whole number")
    return int(value) if "e" in text.lower() else int(text.removesuffix(".0"))
