"""Helpers of the readers of other programs: method names, text, numbers, the `Part` of one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.frames import IDENTITY, Damage, Part, Status, damage_frame, no_episodes
from benchmarks.runs.reading import is_a, read_bytes
from benchmarks.runs.records import COLUMNS, LARGEST_INT

# OmniSafe's names of algorithms -> this suite's (baselines/omnisafe/algorithms.py)
METHODS = {
    "PolicyGradient": "policy_gradient",
    "NaturalPG": "natural_pg",
    "PPO": "ppo",
    "TRPO": "trpo",
    "PPOLag": "ppo_lag",
    "TRPOLag": "trpo_lag",
    "RCPO": "rcpo",
    "PDO": "pdo",
    "CPPOPID": "cppo_pid",
    "TRPOPID": "trpo_pid",
    "CPO": "cpo",
    "PCPO": "pcpo",
    "FOCOPS": "focops",
    "CUP": "cup",
    "IPO": "ipo",
    "P3O": "p3o",
    "OnCRPO": "on_crpo",
    "PPOSaute": "ppo_saute",
    "TRPOSaute": "trpo_saute",
    "PPOSimmerPID": "ppo_simmer_pid",
    "TRPOSimmerPID": "trpo_simmer_pid",
    "PPOEarlyTerminated": "ppo_early_terminated",
    "TRPOEarlyTerminated": "trpo_early_terminated",
    "DDPG": "ddpg",
    "TD3": "td3",
    "SAC": "omnisafe_sac",
    "DDPGLag": "ddpg_lag",
    "TD3Lag": "td3_lag",
    "SACLag": "omnisafe_sac_lag",
    "DDPGPID": "ddpg_pid",
    "TD3PID": "td3_pid",
    "SACPID": "sac_pid",
    "PETS": "pets",
    "LOOP": "loop",
    "SafeLOOP": "safe_loop",
    "CCEPETS": "cce_pets",
    "CAPPETS": "cap_pets",
    "RCEPETS": "rce_pets",
}


def text_of(file: Path) -> str:
    """The text of a file; bytes that are not UTF-8 become replacement characters."""
    return read_bytes(file).decode("utf-8", errors="replace")


def seed_of(value: Any) -> int | float:
    """A seed as these programs write it; NaN for anything else."""
    text = str(value)
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 16 else np.nan


def number_of(value: Any) -> float:
    """A finite, non-negative number, such as a cost limit or a budget; NaN for anything else."""
    try:
        number = float(value) if is_a(value, float | str) else np.nan
    except (ValueError, OverflowError):
        return np.nan
    return number if 0 <= number <= LARGEST_INT else np.nan


def steps_of(value: Any) -> int:
    """Simulator steps of a row. Raises ValueError for an invalid number."""
    number = float(value)
    if not 0 <= number <= LARGEST_INT:
        raise ValueError(f"{number:g} is not a number of steps")
    return int(number)


def part(
    facts: Mapping[str, Any],
    rows: pd.DataFrame | list[dict[str, Any]],
    damage: Iterable[Damage] = (),
) -> Part:
    """The `Part` of one run.

    `rows` have `split`, `env_steps`, `return`, `cost` and any further columns of the records, of
    which the others are NaN; `episode` is numbered within each split.
    """
    frame = pd.DataFrame(rows)
    if len(frame):
        known = {column: facts[column] for column in ("run", *IDENTITY)}
        frame = frame.assign(**known, episode=frame.groupby("split").cumcount())
        frame = frame.reindex(columns=["run", *COLUMNS]).astype({"env_steps": "int64"})
    else:
        frame = no_episodes()
    lost = [(facts["run"], line) for line in damage]
    facts = {**facts, "damaged_lines": len(lost)}
    return Part(frame, [facts], damage_frame(lost))


def unreadable(facts: Mapping[str, Any], why: str, damage: Iterable[Damage] = ()) -> Part:
    """The `Part` of a run that cannot be read: no episodes, the reason in its notes."""
    return part({**facts, "problem": Status.BAD_RECORDS, "notes": why}, [], damage)
