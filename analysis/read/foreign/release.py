"""`scores.jsonl` of the authors' SafeDreamer: a line per simulator step at which episodes ended.

    {"step": 4000, "episode/score": 1.2, "episode/cost": 30.0, "episode/cost_ema": ...,
    "eval_episode/score": ..., ...}

`step` is already in simulator steps (agent steps times action repeat). Of several episodes of one
split that ended at the same step, the file has only the last. Folders are named
`TIME_METHOD_TASK_SEED`; `config.yaml` beside the file has the same values and the cost limit.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from analysis.read.foreign.common import number_of, part, seed_of, steps_of, text_of
from analysis.results.frames import Damage, Part
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import DamagedFile, parse_object, read_text
from benchmarks.runs.records import EVAL, TRAIN

FILE_NAME, CONFIG = "scores.jsonl", "config.yaml"
PREFIXES = {TRAIN: "episode/", EVAL: "eval_episode/"}
# suite of the release -> ours
OBS = {"safetygym": "vision", "safetygymcoor": "coordinates", "safetygymmujoco": "lidar"}
LACKS = "episodes that ended at the same step as another, lengths, wall clock"


def read(folder: Path, name: str) -> Part:
    """The run of a folder."""
    facts = {
        "run": name,
        "folder": str(folder),
        "source": "release",
        "lacks": LACKS,
        **_identity(folder),
    }
    rows, damage = [], []
    for number, line in enumerate(text_of(folder / FILE_NAME).splitlines(), start=1):
        try:
            rows += _episodes(parse_object(line, FILE_NAME, number))
        except DamagedFile as error:
            damage.append(Damage(FILE_NAME, number, error.why))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            damage.append(Damage(FILE_NAME, number, one_line(f"{type(error).__name__}: {error}")))
    return part(facts, rows, damage)


def _episodes(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The episodes of a line; the cost is NaN if there is none."""
    rows = []
    for split, prefix in PREFIXES.items():
        if f"{prefix}score" in values:
            row = {"split": split, "env_steps": steps_of(values["step"])}
            row["return"] = float(values[f"{prefix}score"])
            row["cost"] = float(values.get(f"{prefix}cost", np.nan))
            rows.append(row)
    return rows


def _identity(folder: Path) -> dict[str, Any]:
    """The run's identity from `config.yaml`, else from the folder's name."""
    named = re.fullmatch(
        r"[\d-]+_(?P<method>.+?)_(?P<task>safetygym[a-z]*_.+)_(?P<seed>\d+)", folder.resolve().name
    )
    found: dict[str, str] = named.groupdict() if named else {}
    notes = ""
    try:
        text = read_text(folder / CONFIG)
        # top-level values are plain scalars
        pattern = r"^(method|task|seed|cost_limit): *['\"]?([^'\"\n#]+?)['\"]? *$"
        found |= dict(re.findall(pattern, text, flags=re.MULTILINE))
    except FileNotFoundError:
        notes = f"no {CONFIG}: the cost limit is not known"
    except DamagedFile as error:
        notes = f"{CONFIG}: {error.why}"
    suite, _, task = found.get("task", "").partition("_")
    seed = found.get("seed", "")
    return {
        "run_id": f"release/{folder.resolve().name}",
        "method": found.get("method", ""),
        "task": task,
        "obs": OBS.get(suite, suite),
        "seed": seed_of(seed),
        "cost_limit": number_of(found.get("cost_limit")),
        "notes": notes if found else f"neither the folder's name nor {CONFIG} tell what this is",
    }
