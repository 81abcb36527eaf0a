"""Results of other programs with a map of their columns: `--import PATH ours=theirs ...`.

A path is a file, a folder, or a glob pattern; a word that names an existing file or folder is that
path, whatever characters it has. `return=ep_ret` names a column of a CSV file or a
TensorBoard tag; if no column has that name, as in `method=theirs`, it is the value of all rows.
"""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.read import foreign
from analysis.read.foreign import monitor, table, tensorboard
from analysis.read.foreign.common import number_of, seed_of, text_of
from analysis.results.frames import Part
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.records import EVAL, TRAIN

TEXTS = ("method", "task", "obs", "split")
NUMBERS = ("seed", "cost_limit", "budget_env_steps")
USAGE = "--import PATH [return=COLUMN cost=COLUMN env_steps=COLUMN method=NAME task=NAME ...]"


def read(words: Sequence[str]) -> list[Part]:
    """The runs of `PATH ... KEY=VALUE ...`.

    Raises ValueError for a path without files, for an option that is given twice, and for a map
    that does not fit the files.
    """
    options: dict[str, str] = {}
    paths: dict[str, list[str]] = {}
    for word in words:
        files = _files(word)
        if files or not re.match(r"[a-z_]+=", word):
            paths[word] = files
            continue
        name, value = word.split("=", 1)
        if name in options:
            raise ValueError(f"--import: {name}={options[name]} and {word}; give {name} once")
        options[name] = value
    if not paths:
        raise ValueError(f"give a file, a folder or a pattern: {USAGE}")
    found: dict[Path, Path] = {}  # each once, though several files of a folder may match
    for pattern, files in paths.items():
        if not files:
            raise ValueError(f"--import {pattern}: no such file or folder")
        for path in map(_source, map(Path, files)):
            found.setdefault(path.resolve(), path)
    return [_one(path, options) for path in found.values()]


def _files(pattern: str) -> list[str]:
    """The file or folder of that name, else those that match the pattern."""
    pattern = os.path.expanduser(pattern)
    return [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))


def _source(path: Path) -> Path:
    """The folder of a run, if the file is one of several that may belong to it."""
    several = path.name.startswith(tensorboard.PREFIX) or path.name.endswith(monitor.SUFFIX)
    return path.parent if several else path


def _one(path: Path, options: Mapping[str, str]) -> Part:
    if not path.is_dir():
        return _table(path, options)
    kind = foreign.recognise({entry.name for entry in path.iterdir()})
    columns = {name: options[name] for name in ("return", "cost") if name in options}
    facts = _facts(path, {k: v for k, v in options.items() if k not in columns})
    if kind == "tensorboard":
        split = str(facts.pop("split", TRAIN))
        tags = {
            key: (columns[key[1]],) if key[1] in columns and key[0] == split else known
            for key, known in tensorboard.TAGS.items()
        }
        return tensorboard.read(path, path.name, tags, facts)
    if kind == "monitor" and "return" not in columns:
        return monitor.read(path, path.name, columns.get("cost", monitor.COST), facts)
    raise ValueError(
        f"--import {path}: "
        + (
            f"its format ({kind}) has columns of its own; give the folder without --import"
            if kind
            else "no file in it is one of TensorBoard or of a monitor; give CSV files by a pattern"
        )
    )


def _table(file: Path, options: Mapping[str, str]) -> Part:
    head = next(csv.reader(io.StringIO(text_of(file), newline="")), [])
    columns = {k: v for k, v in options.items() if v in head}
    fixed = {k: v for k, v in options.items() if k not in columns}
    wrong = sorted(set(fixed) & set(table.NEEDED))
    if wrong:
        shown = ", ".join(f"{name}={fixed[name]}" for name in wrong)
        raise ValueError(f"{file} has no column for {shown}; it has {one_line(', '.join(head))}")
    values = _facts(file, fixed)
    if "seed" not in options and (numbers := re.findall(r"\d+", file.stem)):
        values |= {"seed": seed_of(numbers[-1]), "notes": "the seed is the last number of its name"}
    return table.read(file, columns, values)


def _facts(path: Path, options: Mapping[str, str]) -> dict[str, object]:
    """Values for all rows. Raises ValueError for names that are not in TEXTS or NUMBERS."""
    facts: dict[str, object] = {}
    for name, text in options.items():
        if name in TEXTS:
            facts[name] = text
        elif name in NUMBERS:
            facts[name] = number_of(text) if name != "seed" else seed_of(text)
            if np.isnan(float(str(facts[name]))):
                raise ValueError(f"--import {path}: {name}={text} is neither a column nor a number")
        else:
            known = ", ".join((*table.NUMBERS, *TEXTS, *NUMBERS[1:]))
            raise ValueError(f"--import {path}: {name}={text}: no such column; ours are {known}")
    if facts.get("split", TRAIN) not in (TRAIN, EVAL):
        raise ValueError(f"--import {path}: split={facts['split']} must be {TRAIN} or {EVAL}")
    return facts
