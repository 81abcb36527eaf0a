"""`train`: `safedreamer train` as a function."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cli import train as command
from benchmarks.cli.foreground import train_here
from benchmarks.runs.errors import RunFailed
from benchmarks.runs.folder import check


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
    Raises BadInput for settings that do not fit, RunFailed if training was stopped.
    """
    given = {"method": method, "task": task, "obs": obs, "preset": preset, "seed": seed}
    given |= {"steps": steps, "out": os.fspath(out), **(settings or {})}
    words: list[str] = []
    for name, value in given.items():
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{name.replace('_', '-')}")
        elif value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    chosen, spec = command.read(words)
    folder = Path(out)
    check(spec, folder)
    if train_here(spec, folder, chosen.report_seconds):
        raise RunFailed(f"training in {folder} was stopped; the same call continues it")
    return folder
