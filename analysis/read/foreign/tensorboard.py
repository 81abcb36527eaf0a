"""TensorBoard event files.

Tags are those of OmniSafe and SafePO (`Metrics/EpRet`), of the authors' release (`episode/score`),
of CleanRL (`charts/episodic_return`), of sheeprl (`Rewards/rew_avg`) and of this suite; others are
passed as a map. Simulator steps are the x-axis, or the value of a tag in STEP_TAGS at the same
point if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.read.foreign.common import METHODS, part, seed_of, unreadable
from analysis.read.foreign.events import scalars
from analysis.results.frames import Part
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.records import EVAL, LARGEST_INT, TRAIN

PREFIX = "events.out.tfevents"
STEP_TAGS = ("TotalEnvSteps", "Train/TotalSteps")  # OmniSafe and SafePO count epochs on the x-axis
# (split, column) -> tags; the first one present is used
TAGS: Mapping[tuple[str, str], tuple[str, ...]] = {
    (TRAIN, "return"): (
        "episode/score", "Metrics/EpRet", "train/return", "charts/episodic_return",
        "Rewards/rew_avg",
    ),
    (TRAIN, "cost"): (
        "episode/cost", "Metrics/EpCost", "train/cost", "charts/episodic_cost", "Rewards/cost_avg",
    ),
    (EVAL, "return"): (
        "eval_episode/score",
        "Metrics/TestEpRet",
        "Metrics/EvalEpRet",
        "eval/return",
        "Test/cumulative_reward",
    ),
    (EVAL, "cost"): ("eval_episode/cost", "Metrics/TestEpCost", "Metrics/EvalEpCost", "eval/cost",
        "Test/cumulative_cost"),
}  # fmt: skip
MISSING = "reading TensorBoard files needs the package tensorboardX (pip install tensorboardX)"


def read(
    folder: Path,
    name: str,
    tags: Mapping[tuple[str, str], tuple[str, ...]] = TAGS,
    facts: Mapping[str, Any] | None = None,
) -> Part:
    """The run of a folder.

    `facts` supply what event files lack: method, task, obs, seed, cost_limit, ...

    By default they are guessed from folder names as in OmniSafe, `ALGO-{TASK}/seed-000-TIME/tb`,
    CleanRL, `TASK__ALGO__SEED__TIME`, and sheeprl, `ALGO/TASK/TIME_NAME_SEED/version_0`, which the
    run's notes record. A folder that cannot be read, also because tensorboardX is not installed, is
    an unreadable run with the reason in its notes.
    """
    known = {
        "run": name,
        "folder": str(folder),
        "source": "tensorboard",
        "per_episode": False,
        **_guess(folder),
        **(facts or {}),
    }
    try:
        series = _series(folder)
    except ImportError:
        return unreadable(known, MISSING)
    except Exception as error:  # noqa: BLE001 (any error of tensorboardX on a damaged file)
        return unreadable(known, one_line(f"{type(error).__name__}: {error}"))
    steps = next((series[tag] for tag in STEP_TAGS if tag in series), None)
    rows = []
    for split in (TRAIN, EVAL):
        returns, costs = (_first(series, tags[split, column]) for column in ("return", "cost"))
        for step in sorted(returns):
            at = step if steps is None else steps.get(step)
            if at is not None and 0 <= at <= LARGEST_INT:
                values = {"return": returns[step], "cost": costs.get(step, np.nan)}
                rows.append({"split": split, "env_steps": at, **values})
    if not rows:
        wanted = sorted({tag for some in tags.values() for tag in some})
        text = f"none of the tags {', '.join(wanted)}; there are {', '.join(sorted(series)[:20])}"
        return unreadable(known, text)
    lacks = "episodes (what the tags average over is not known)"
    if all(row["split"] != EVAL for row in rows):
        lacks += ", evaluations"
    return part({**known, "lacks": lacks}, rows)


def _series(folder: Path) -> dict[str, dict[int, float]]:
    """tag -> step -> value, over all event files of the folder in order of their names.

    Of a step written twice the later value counts.
    """
    series: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob(f"{PREFIX}*")):
        for tag, step, value in scalars(file):
            series.setdefault(tag, {})[step] = value
    return series


def _first(series: Mapping[str, dict[int, float]], tags: tuple[str, ...]) -> dict[int, float]:
    return next((series[tag] for tag in tags if tag in series), {})


def _guess(folder: Path) -> dict[str, Any]:
    run = folder.resolve()
    run = run.parent if run.name in ("tb", "tensorboard") else run
    run_id = f"tensorboard/{run}"
    if len(parts := run.name.split("__")) == 4:  # CleanRL
        task, algo, seed = parts[:3]
    elif run.name.startswith("version_"):  # sheeprl
        run = run.parent
        algo, task = run.parent.parent.name, run.parent.name
        seed = run.name.rpartition("_")[2]
    else:
        algo, _, task = run.parent.name.partition("-")
        seed = run.name.removeprefix("seed-").partition("-")[0]
    return {
        "run_id": run_id,
        "method": METHODS.get(algo, algo),
        "task": task.strip("{}"),
        "obs": "",
        "seed": seed_of(seed),
        "notes": "method, task and seed are guessed from folder names",
    }
