"""The defaults of a method on a task, for the commands.

Some depend on the task's sources of cost, which come from the simulator.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

from agents.api import EnvSpec
from agents.safedreamer.config import SafeDreamerConfig
from benchmarks.methods import Settings, check_spec, settings
from benchmarks.methods import method as find
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.spec import RunSpec
from benchmarks.tasks import Task, get_task


def task_settings(method: str, task: str, obs: str, preset: str) -> Settings:
    """See benchmarks.methods.settings.

    Starts the simulator only for coordinates, the only observation with hazard positions.
    """
    if obs != "coordinates" or find(method).engine == "torch":
        return settings(method, obs, preset, task=task)
    from agents.safedreamer.geometry import hazard_radius

    return settings(method, obs, preset, hazard_radius(task_env_spec(task, obs)))


def default_obs(name: str, task: Task) -> str:
    """The published observation of a task.

    For OmniSafe's methods, and for methods without vision, the simulator's own vector instead, with
    which OmniSafe's published results were obtained.
    """
    chosen = find(name)
    if task.default_obs != "vision" or (chosen.engine == "jax" and not chosen.no_pictures):
        return task.default_obs
    return next(o for o in ("lidar", "default") if o in task.observations)


def spec_of(
    method: str, task: str, obs: str | None, preset: str, seed: int, settings: Mapping[str, Any]
) -> RunSpec:
    """The run of a method on a task under a preset, with `settings` in place of fields of its
    agent's configuration.

    Raises BadInput for an unknown name, or settings that do not fit.
    """
    with as_bad_input(kinds=(ValueError, TypeError)):
        found = get_task(task)
        chosen = found.check_obs(obs or default_obs(method, found))
        given = task_settings(method, found.id, chosen, preset)
        agent = dataclasses.replace(given.agent, **settings)
    of_run = (method, found.id, chosen, seed, given.steps, preset)
    spec = RunSpec(*of_run, given.loop, given.replay, agent)
    check_spec(spec)
    return spec


def official_spec(method: str, task: str, obs: str | None, file: str | os.PathLike[str]) -> RunSpec:
    """The run of an authors' checkpoint. Raises BadInput like `spec_of` and `check_official`."""
    spec = spec_of(method, task, obs, "release", 0, {})
    check_official(spec, file)
    return dataclasses.replace(spec, init_from=os.fspath(file))


def check_official(spec: RunSpec, file: str | os.PathLike[str]) -> None:
    """Raise BadInput unless an agent of the spec can have an authors' checkpoint's parameters."""
    if not isinstance(spec.agent, SafeDreamerConfig):
        raise BadInput(
            f"{os.fspath(file)}: checkpoints of SafeDreamer's authors are for its methods "
            f"(bsrp_lag, osrp, ...), not for {spec.method}"
        )


@functools.cache
def task_env_spec(task: str, obs: str, action_repeat: int = 1, resize: int = 0) -> EnvSpec:
    """Environment spec of a task. Starts its simulator, once; raises BadInput if that fails."""
    from benchmarks.envs.worker import env_factory, probed

    return probed(env_factory(task, obs, action_repeat, resize), reset=False)
