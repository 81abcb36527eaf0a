"""`progress.csv` of OmniSafe (0.5) and SafePO.

One row per epoch, means over the last 50 training episodes.

Both write `config.json` beside it. OmniSafe names steps `TotalEnvSteps` (offline: `TotalSteps`),
SafePO `Train/TotalSteps`; evaluation columns begin with `Metrics/Test` or `Metrics/Eval` and exist
only for some algorithms or on request. SafePO's algorithm is the name of the folder above the run;
its `Time/Total` is the time of one epoch, OmniSafe's the time since the start.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from analysis.read.foreign.common import METHODS, number_of, part, seed_of, steps_of, text_of
from analysis.results.frames import Damage, Part, Status
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.reading import DamagedFile, read_object
from benchmarks.runs.records import EVAL, TRAIN

FILE_NAME, CONFIG = "progress.csv", "config.json"
# column -> the program that writes it
STEPS = {"TotalEnvSteps": "omnisafe", "TotalSteps": "omnisafe", "Train/TotalSteps": "safepo"}
NEEDED = ("Metrics/EpRet", "Metrics/EpCost")
EVALUATIONS = ("Metrics/Test", "Metrics/Eval")


def read(folder: Path, name: str) -> Part:
    """The run of a folder; one that cannot be read keeps its place with the reason in its notes."""
    facts: dict[str, Any] = {
        "run": name,
        "folder": str(folder),
        "per_episode": False,
        "source": "omnisafe or safepo",
    }
    config, note = _config(folder / CONFIG)
    lines = [_cells(line) for line in text_of(folder / FILE_NAME).splitlines()]
    head = lines[0] if lines else []
    step = next((column for column in STEPS if column in head), None)
    missing = [column for column in NEEDED if column not in head]
    facts |= _identity(folder, config, STEPS.get(step or "", "omnisafe"))
    if step is None or missing:
        lacking = ", ".join([*missing, *([] if step else [" or ".join(STEPS)])])
        facts["notes"] = "; ".join(filter(None, [note, f"{FILE_NAME} lacks {lacking}"]))
        facts["problem"] = Status.BAD_RECORDS if lines else Status.NO_RECORDS
        return part(facts, [])
    facts["source"] = STEPS[step]
    rows, damage, evaluated = _rows(head, lines[1:], step)
    lacks = ["per-episode data (means over 50 episodes)", *([] if evaluated else ["evaluations"])]
    return part({**facts, "lacks": ", ".join(lacks), "notes": note}, rows, damage)


def _rows(
    head: list[str], lines: list[list[str]], step: str
) -> tuple[list[dict[str, Any]], list[Damage], bool]:
    prefix = next((p for p in EVALUATIONS if f"{p}EpRet" in head), None)
    rows, damage, seconds = [], [], 0.0
    for number, line in enumerate(lines, start=2):
        try:
            if len(line) != len(head):
                raise ValueError(f"{len(line)} of {len(head)} fields")
            values = dict(zip(head, line))
            steps, time = steps_of(values[step]), float(values.get("Time/Total") or "nan")
            seconds = seconds + time if STEPS[step] == "safepo" else time
            found = [{"split": TRAIN, **_metrics(values, "Metrics/")}]
            if prefix:
                found.append({"split": EVAL, **_metrics(values, prefix)})
            rows += [{"env_steps": steps, "wall_seconds": seconds, **each} for each in found]
        except ValueError as error:
            damage.append(Damage(FILE_NAME, number, str(error)))
    return rows, damage, prefix is not None


def _metrics(values: dict[str, str], prefix: str) -> dict[str, float]:
    length = values.get(f"{prefix}EpLen") or "nan"
    return {
        "return": float(values[f"{prefix}EpRet"]),
        "cost": float(values[f"{prefix}EpCost"]),
        "length": float(length),
    }


def _config(file: Path) -> tuple[dict[str, Any], str]:
    try:
        return read_object(file), ""
    except FileNotFoundError:
        return {}, f"no {CONFIG}: method, task and seed are taken from folder names"
    except DamagedFile as error:
        return {}, f"{CONFIG}: {error.why}"


def _cells(line: str) -> list[str]:
    """The cells of a line; a line that is not CSV is one cell, which is then counted as damage."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return [one_line(line, 60)]


def _identity(folder: Path, config: dict[str, Any], source: str) -> dict[str, Any]:
    """The run's identity from its configuration, else from folder names.

    `PPOLag-{TASK}/seed-000-TIME` (OmniSafe), `TASK/ppo_lag/seed-000-TIME` (SafePO).
    """
    parents = folder.resolve().parents
    algo, _, task = parents[0].name.partition("-")
    if source == "safepo":
        algo, task = parents[0].name, parents[1].name
    algo = one_line(str(config.get("algo") or algo), 100)
    named = config.get("env_id") or config.get("env_name") or config.get("task")
    task = one_line(str(named or task.strip("{}")), 200)
    seed = config.get("seed", folder.name.removeprefix("seed-").partition("-")[0])
    train = config["train_cfgs"] if isinstance(config.get("train_cfgs"), dict) else {}
    return {
        "run_id": f"{source}/{task}/{algo}/{folder.name}",
        "method": METHODS.get(algo, algo),
        "task": task,
        "obs": "lidar",  # both support only Safety-Gymnasium's own flat observation
        "seed": seed_of(seed),
        "budget_env_steps": number_of(train.get("total_steps") or config.get("total_steps")),
        "cost_limit": _limit(config),
    }


def _limit(config: dict[str, Any]) -> float:
    """The cost limit: OmniSafe has it in one of two blocks, under one of two names, SafePO at the
    top level.
    """
    for block in (config.get("lagrange_cfgs"), config.get("algo_cfgs"), config):
        for key in ("cost_limit", "safety_budget"):
            if isinstance(block, dict) and not np.isnan(limit := number_of(block.get(key))):
                return limit
    return np.nan
