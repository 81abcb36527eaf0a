"""The defaults of a method on a task, for the commands.

Some depend on the task's sources of cost, which come from the simulator.
"""

from __future__ import annotations

import functools

from agents.api import EnvSpec
from benchmarks.methods import Settings, settings
from benchmarks.methods import method as find
from benchmarks.tasks import Task


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


@functools.cache
def task_env_spec(task: str, obs: str, action_repeat: int = 1, resize: int = 0) -> EnvSpec:
    """Environment spec of a task, from which agents are built. Starts its simulator, once."""
    from benchmarks.envs.worker import MAKE_SECONDS, env_facts_of
    from benchmarks.training.launch import env_factory

    return env_facts_of(
        env_factory(task, obs, action_repeat, resize), reset=False, timeout_seconds=MAKE_SECONDS
    ).spec()
