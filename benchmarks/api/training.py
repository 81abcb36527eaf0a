"""`train`: `safedreamer train` as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cli.train import start
from benchmarks.process.options import option
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs.errors import RunFailed


def train(
    method: str,
    task: str,
    out: str | os.PathLike[str],
    *,
    obs: str | None = None,
    preset: str = "release",
    seed: int = 0,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Train into the run folder `out`, or continue there; returns the folder.

    `settings` are those of `safedreamer train --help-all` by name, such as {"planner.horizon": 10}.
    Raises BadInput for settings that do not fit, RunFailed if training was stopped or failed.
    """
    given = {"method": method, "task": task, "obs": obs, "preset": preset, "seed": seed}
    given |= {"steps": steps, "out": os.fspath(out)}
    given = {name: value for name, value in given.items() if value is not None}
    # not merged: a name in both is refused
    pairs = [*given.items(), *(settings or {}).items()]
    status, folder = start([word for name, value in pairs for word in option(name, value)])
    if status == EXIT_STOPPED:
        raise RunFailed(f"training in {folder} was stopped; the same call continues it")
    if status:
        raise RunFailed(
            f"the process that trains in {folder} ended with status {status}; its output says why"
        )
    return folder
