"""Results of other programs, read into the same frames.

What their formats lack is listed in `runs["lacks"]`.

progress      OmniSafe and SafePO: `progress.csv` and `config.json`; means over the last 50
              episodes, no single episodes
release       the authors' SafeDreamer: `scores.jsonl`
tensorboard   event files with tags of either, of CleanRL or of sheeprl
monitor       Stable-Baselines3: `*monitor.csv`, episodes
table         any CSV, with a map of its columns: `table.json` beside it, or `--import`
              (`analysis.read.importing`)
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.read.foreign import monitor, progress, release, table, tensorboard
from analysis.results.frames import Part

# format -> pattern of the files that mark its folders, and its reader
FORMATS: Mapping[str, tuple[str, Callable[[Path, str], Part]]] = {
    "progress": (progress.FILE_NAME, progress.read),
    "release": (release.FILE_NAME, release.read),
    "table": (table.FILE_NAME, table.read_folder),
    "tensorboard": (f"{tensorboard.PREFIX}*", tensorboard.read),
    "monitor": (f"*{monitor.SUFFIX}", monitor.read),
}


def recognise(names: set[str]) -> str:
    """Format of a folder that contains these names, "" if there is none."""
    return next((kind for kind, (mark, _) in FORMATS.items() if fnmatch.filter(names, mark)), "")
