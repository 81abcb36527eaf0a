"""Code blocks of the documentation, for tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.tree import ROOT

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of a language on a page, such as docs/howto/python.md."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [block for name, block in FENCE.findall(text) if name == language]


def write_files(page: str, language: str, folder: Path) -> list[Path]:
    """Write every block whose first line names a file, `# my_envs.py`, into the folder."""
    written = []
    for block in blocks(page, language):
        if found := re.match(r"# (\w+\.\w+)\n", block):
            written.append(folder / found[1])
            written[-1].write_text(block, encoding="utf-8")
    return written
