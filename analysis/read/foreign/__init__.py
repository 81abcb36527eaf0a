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

from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.read.foreign import monitor, progress, release, table, tensorboard
from analysis.results.frames import Part

READERS: Mapping[str, Callable[[Path, str], Part]] = {
    "progress": progress.read,
    "release": release.read,
    "table": table.read_folder,
    "tensorboard": tensorboard.read,
    "monitor": monitor.read,
}


def recognise(names: set[str]) -> str:
    """Name of the reader for a folder that contains these names, "" if there is none."""
    if progress.FILE_NAME in names:
        return "progress"
    if release.FILE_NAME in names:
        return "release"
    if table.FILE_NAME in names:
        return "table"
    if any(name.startswith(tensorboard.PREFIX) for name in names):
        return "tensorboard"
    return "monitor" if any(name.endswith(monitor.SUFFIX) for name in names) else ""
