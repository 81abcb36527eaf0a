"""What readers of other programs share: their names of methods, a frame of rows, a part of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.parse import Damage
from analysis.results import DAMAGE_COLUMNS, Part, no_episodes
from benchmarks.records import COLUMNS

# OmniSafe's names of algorithms that this suite knows by another
METHODS = {
    "PPO": "ppo",
    "PPOLag": "ppo_lag",
    "TRPO": "trpo",
    "TRPOLag": "trpo_lag",
    "CPO": "cpo",
    "FOCOPS": "focops",
    "CPPOPID": "cppo_pid",
    "SACLag": "sac_lag",
}


def part(facts: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], damage: Iterable[Damage] = ()) -> Part:
    """One run. `rows` have `split`, `env_steps`, `return`, `cost` and what else is known; `episode` is counted within its split."""
    run = facts["run"]
    frame = pd.DataFrame([*rows])
    if len(frame):
        for column in ("run_id", "method", "task", "obs", "seed"):
            frame[column] = facts[column]
        for column in ("agent_steps", "length", "wall_seconds"):
            if column not in frame:
                frame[column] = np.nan
        frame["run"] = run
        frame["episode"] = frame.groupby("split").cumcount()
        frame["env_steps"] = frame["env_steps"].astype("int64")
        frame = frame[["run", *COLUMNS]]
    else:
        frame = no_episodes()
    lost = [{"run": run, **line._asdict()} for line in damage]
    facts = {**facts, "damaged_lines": len(lost)}
    return Part(frame, [facts], pd.DataFrame(lost, columns=list(DAMAGE_COLUMNS)))
