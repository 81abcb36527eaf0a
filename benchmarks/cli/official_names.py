"""Parse the name of an authors' checkpoint: `TIME_METHOD_SUITE_TASK_SEED`.

For example `20240306-153904_bsrp_lag_safetygym_SafetyPointGoal1-v0_0.ckpt`, or the name of a folder
above `checkpoint.ckpt`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from benchmarks.tasks import tasks

_NAME = re.compile(
    r"\d{8}-\d{6}_(?P<method>\w+?)(?P<vector>_vector)?_(?P<suite>safetygym(?:coor)?)"
    r"_(?P<task>Safety\w+-v\d+)_(?P<seed>\d+)(?:\.ckpt)?"
)


class Named(NamedTuple):
    """Method, task, observation and seed of a checkpoint, and a name for its records."""

    method: str
    task: str
    obs: str
    seed: int
    label: str


def named(path: Path) -> Named | None:
    """Parse a path, last part first; None if no part has such a name.

    The suite `safetygym` observes two cameras; `safetygymcoor`, and methods that end in `_vector`,
    coordinates. The label is the part with the name, and what is below it but for a file
    `checkpoint.ckpt`: a folder may hold several checkpoints.
    """
    below: list[str] = []
    for part in reversed(path.resolve().parts):
        found = _NAME.fullmatch(part)
        if found and found["task"] in tasks():
            vector = found["vector"] or found["suite"] != "safetygym"
            obs = "coordinates" if vector else "vision"
            label = "-".join([part.removesuffix(".ckpt"), *below])
            return Named(found["method"], found["task"], obs, int(found["seed"]), label)
        if part != "checkpoint.ckpt":
            below.insert(0, part.removesuffix(".ckpt"))
    return None
