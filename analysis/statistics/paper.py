"""Figures of SafeDreamer (arXiv:2307.07176) and the runs of this suite that correspond to them.

Curves on five vision tasks against model-based and against model-free methods, curves on
low-dimensional tasks. The methods are this suite's; docs/howto/report.md describes where the
paper's methods and settings differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import pandas as pd

from analysis.results.frames import Results, Status
from analysis.results.labels import split_label
from analysis.statistics.intervals import MIN_RUNS

OURS = ("osrp", "osrp_lag", "bsrp_lag")
MODEL_BASED = ("dreamerv3", "lambda", "safe_slac")
MODEL_FREE = ("ppo", "ppo_lag", "trpo", "trpo_lag", "cpo", "focops", "cppo_pid", "omnisafe_sac_lag")
VISION = tuple(
    (f"Safety{name}-v0", "vision")
    for name in ("PointGoal1", "PointGoal2", "CarGoal1", "PointPush1", "PointButton1")
)
VECTOR = (("SafetyPointGoal1-v0", "coordinates"), ("SafetyCarGoal1-v0", "coordinates"))
# observations to show, in this order, if a model-free method has no runs with the panel's
INSTEAD = ("lidar", "coordinates", "default")


class State(StrEnum):
    """Whether a method has enough seeds in a panel."""

    EMPTY = "empty"
    FEW = f"fewer than {MIN_RUNS} seeds"
    FULL = "complete"


class Curves(NamedTuple):
    """A figure of curves: a panel per task, a line per method."""

    name: str
    title: str
    tasks: tuple[tuple[str, str], ...]
    methods: tuple[str, ...]


CURVES = (
    Curves("vision-model-based", "Five vision tasks, model-based methods", VISION,
           (*OURS, *MODEL_BASED)),
    Curves("vision-model-free", "Five vision tasks, model-free methods", VISION,
           (*OURS, *MODEL_FREE)),
    Curves("vector", "Low-dimensional tasks", VECTOR, (*OURS, "dreamerv3", "cem", *MODEL_FREE)),
)  # fmt: skip


class Suite(NamedTuple):
    """A suite whose runs fill panels of one observation. All train for millions of steps, on GPUs
    except for OmniSafe's methods on vectors.
    """

    name: str
    obs: str
    methods: tuple[str, ...]


SUITES = (
    Suite("core5", "vision", (*OURS, "dreamerv3")),
    Suite("core5-baselines", "vision",
          ("lambda", "safe_slac", "ppo_lag", "trpo_lag", "cpo", "focops")),
    Suite("vector", "coordinates", (*OURS, "dreamerv3", "cem")),
)  # fmt: skip


def labels(methods: Iterable[str], there: Iterable[str]) -> list[str]:
    """The methods, each followed by the labels in `there` of the same method with given costs."""
    given = [name for name in there if split_label(name).given and not split_label(name).variant]
    return [
        name
        for method in methods
        for name in (method, *sorted(n for n in given if split_label(n).method == method))
    ]


def observed(runs: pd.DataFrame, tasks: Iterable[tuple[str, str]]) -> pd.Series:
    """The observation of the panel that each run is shown in, by the index of `runs`.

    This is the run's own, except for model-free methods, which are published without cameras: on a
    task of `tasks` where one has no runs with the panel's observation, the panel shows its runs
    with the first of INSTEAD that it has.
    """
    shown = runs["obs"].copy()
    evaluated = runs[
        (runs["eval_episodes"] > 0)
        & (runs["status"] != Status.DUPLICATE)
        & runs["label"].isin(MODEL_FREE)
    ]
    for (task, label), mine in evaluated.groupby(["task", "label"]):
        there = set(mine["obs"])
        for obs in (obs for name, obs in tasks if name == task and obs not in there):
            instead = next((other for other in INSTEAD if other in there), None)
            same = (runs["task"] == task) & (runs["label"] == label) & (runs["obs"] == instead)
            shown[same] = obs
    return shown


def panels(results: Results) -> pd.DataFrame:
    """Contents of every panel: `figure`, `task`, `obs`, `method`, `seeds` (with evaluations),
    `seen` (observations of the method's runs that are not the panel's), `state`.
    """
    runs = results.runs[
        (results.runs["eval_episodes"] > 0) & (results.runs["status"] != Status.DUPLICATE)
    ]
    rows = []
    for figure in CURVES:
        shown = runs.assign(panel=observed(runs, figure.tasks))
        for task, obs in figure.tasks:
            here = shown[(shown["task"] == task) & (shown["panel"] == obs)]
            for method in labels(figure.methods, runs["label"].unique()):
                mine = here[here["label"] == method]
                count, seen = mine["seed"].nunique(), ", ".join(sorted(set(mine["obs"]) - {obs}))
                state = State.EMPTY if not count else State.FEW if count < MIN_RUNS else State.FULL
                rows.append((figure.name, task, obs, method, count, seen, state))
    return pd.DataFrame(rows, columns=["figure", "task", "obs", "method", "seeds", "seen", "state"])


def fills(listed: pd.DataFrame) -> pd.DataFrame:
    """What has data and what fills the rest, one row per figure and suite.

    Columns: `figure`, `full`, `few` and `empty` (numbers of pairs of panel and method), `waiting`
    (methods with a panel that is empty or has too few seeds, separated by spaces), `command` that
    fills these ("" if none is missing): of a suite, which starts only missing runs, or of single
    runs for methods that no suite has.

    Args: listed, of `panels`.
    """
    rows = []
    for name, mine in listed.groupby("figure", sort=False):
        suites = [
            next((s.name for s in SUITES if s.obs == obs and plain in s.methods), "")
            for obs, plain in zip(mine["obs"], mine["method"].map(lambda m: split_label(m).method))
        ]
        for suite, here in mine.groupby(suites, sort=False):
            open_ = here[here["state"] != State.FULL]
            methods = " ".join(dict.fromkeys(split_label(m).method for m in open_["method"]))
            counts = [int((here["state"] == state).sum()) for state in State]
            if not methods:
                command = ""
            elif suite:
                command = f"safedreamer sweep --suite {suite} --cluster slurm"
            else:
                # model-free methods; not all of them support vision
                obs = here["obs"].iloc[0] if here["obs"].iloc[0] != "vision" else INSTEAD[0]
                command = f"safedreamer train --method METHOD --task TASK --obs {obs} --seed SEED"
            rows.append((name, *counts[::-1], methods, command))
    return pd.DataFrame(rows, columns=["figure", "full", "few", "empty", "waiting", "command"])


def placed(results: Results, figure: Curves) -> tuple[Results, list[tuple[str, str]]]:
    """The results with the observations of a figure's panels, and its (task, observation) pairs.

    A panel that shows runs with other observations than its own names these: `vision, lidar`.
    """
    panel = observed(results.runs, figure.tasks)
    names: dict[tuple[str, str], str] = {}
    there = results.runs["label"].isin(labels(figure.methods, results.runs["label"].unique()))
    for task, obs in figure.tasks:
        mine = (results.runs["task"] == task) & (panel == obs) & there
        others = sorted(set(results.runs.loc[mine, "obs"]) - {obs})
        names[task, obs] = ", ".join([obs, *others])
    keys = zip(results.runs["task"], panel)
    runs = results.runs.assign(obs=[names.get(key, key[1]) for key in keys])
    return results._replace(runs=runs), [(task, names[task, obs]) for task, obs in figure.tasks]
