"""`monitor.csv` of Stable-Baselines3: one row per training episode, `r`, `l`, `t` and more.

It has costs if the environment was wrapped with `Monitor(env, info_keywords=("cost",))`, which
records the info of an episode's last step: that must be the episode's cost, under any name.
Several files in a folder are parallel environments of one run.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.read.foreign.common import METHODS, part, seed_of, steps_of, text_of, unreadable
from analysis.results.frames import Damage, Part
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.records import TRAIN

SUFFIX = "monitor.csv"
COST = "cost"


def read(
    folder: Path,
    name: str,
    cost: str = COST,
    facts: Mapping[str, Any] | None = None,
) -> Part:
    """The run of a folder; `cost` is the column of episode costs.

    `facts` supply what the files lack. By default method and seed are guessed from folder names as
    in RL Zoo, `ALGO/TASK_NUMBER`, which the notes record.
    """
    episodes, damage, task, heads = [], [], "", set()
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        lines = text_of(file).splitlines()
        task = task or _task(lines[:1])
        rows = [line for line in lines if line and not line.startswith("#")]
        head = next(csv.reader(rows[:1]), [])
        heads |= set(head)
        for number, line in enumerate(rows[1:], start=3):
            try:
                cells = dict(zip(head, next(csv.reader([line])), strict=True))
                values = tuple(float(cells[column]) for column in ("t", "l", "r", cost))
            except (ValueError, KeyError, csv.Error) as error:
                if cost in head:
                    damage.append(Damage(file.name, number, one_line(str(error), 100)))
                continue
            episodes.append(values)
    known = {
        "run": name,
        "folder": str(folder),
        "source": "monitor",
        "lacks": "evaluations",
        **_guess(folder, task),
        **(facts or {}),
    }
    if not episodes:
        why = (
            "no episodes"
            if cost in heads
            else f"no column {cost}; there are {', '.join(sorted(heads))}: name the one of episode "
            "costs, --import FOLDER cost=COLUMN"
        )
        return unreadable(known, why, damage)
    # in the order in which episodes ended; steps are summed over all environments
    rows = pd.DataFrame(sorted(episodes), columns=["wall_seconds", "length", "return", "cost"])
    steps = [steps_of(total) for total in itertools.accumulate(rows["length"])]
    return part(known, rows.assign(split=TRAIN, env_steps=steps), damage)


def _task(first: list[str]) -> str:
    """The environment's id from the comment in a file's first line."""
    try:
        head = json.loads(first[0].removeprefix("#")) if first else {}
    except ValueError:
        return ""
    found = head.get("env_id") if isinstance(head, dict) else None
    return one_line(str(found or ""), 200)


def _guess(folder: Path, task: str) -> dict[str, Any]:
    run = folder.resolve()
    numbered = re.fullmatch(r"(.*)_(\d+)", run.name)
    algo = run.parent.name if numbered else run.name
    return {
        "run_id": f"monitor/{run}",
        "method": METHODS.get(algo, algo),
        "task": task or (numbered[1] if numbered else ""),
        "obs": "",
        "seed": seed_of(numbered[2] if numbered else ""),
        "notes": "method and seed are guessed from folder names",
    }
