"""`safedreamer tasks`: the tasks, one per line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.runs.errors import as_bad_input


@dataclasses.dataclass(frozen=True)
class TasksArgs:
    """List the tasks that train accepts; module:factory or module:Env-v0 names your own."""

    group: Annotated[str, tyro.conf.Positional] = ""
    """Group, such as paper20, core5, velocity, circle or run; all tasks if not given."""


def main(args: Sequence[str]) -> int:
    """Print each task, its published observation and the observations it offers; returns 0."""
    chosen = parse(TasksArgs, args, "safedreamer tasks")
    from benchmarks.tasks import expand, get_task, tasks

    pairs = [(task.id, task.default_obs) for task in tasks().values()]
    if chosen.group:
        with as_bad_input():
            pairs = expand(chosen.group)
    for name, obs in pairs:
        print(f"{name:<32} {obs:<12} of {', '.join(get_task(name).observations)}")
    return 0
