"""MkDocs hooks: the order of the pages, the tables that are generated from the code, and links to
files of the checkout that are no pages.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import reference  # noqa: E402  (beside this file)
import speed  # noqa: E402

SECTIONS = {
    "Concepts": "concepts",
    "Stress tests": "concepts/stress",
    "How to": "howto",
    "Reference": "reference",
    "Decisions": "decisions",
}
# Pages in this order before the others of their folder, which follow by name.
ORDER = (
    "index safedreamer model_based_rl lambda safe_slac mbpo omnisafe fidelity steps cost_limits "
    "resume install train sweep slurm own_environment own_python accelerator videos diagnose "
    "watching stress report sensors images actuators dynamics tasks model"
).split()
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s:]+)\)")


def pages(folder: str) -> list[str]:
    """The pages of a folder of docs/, in their order."""
    found = {path.stem for path in (DOCS / folder).glob("*.md")}
    ordered = [name for name in ORDER if name in found]
    return [f"{folder}/{name}.md" for name in [*ordered, *sorted(found - set(ordered))]]


def on_config(config: Any) -> Any:
    """Order the pages: every page of a section's folder is in the navigation."""
    sections = [{title: pages(folder)} for title, folder in SECTIONS.items()]
    config["nav"] = ["index.md", "tutorial.md", *sections]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in generated tables, and show links out of docs/ as paths of the checkout."""
    folder = (DOCS / page.file.src_uri).parent
    return _LINK.sub(lambda link: _inside(link, folder), reference.filled(markdown, speed.TABLES))


def _inside(link: re.Match[str], folder: Path) -> str:
    """The link if it stays within docs/, else its text and the path; an error if it is dead."""
    path = (folder / link[2].partition("#")[0]).resolve()
    if path.is_relative_to(DOCS) or link[2].startswith("#"):
        return link[0]
    if not path.exists():
        raise PluginError(f"a page of {folder} has {link[0]}, and there is no {path}")
    shown = f"`{path.relative_to(ROOT)}`"
    return shown if link[1].strip("`") == shown.strip("`") else f"{link[1]} ({shown})"
