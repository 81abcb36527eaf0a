"""The defaults of a method on a task, for the commands: some depend on what costs there, and the simulator knows that."""

from __future__ import annotations

import contextlib

from benchmarks.methods import Settings, settings


def task_settings(method: str, task: str, obs: str, preset: str) -> Settings:
    """See benchmarks.methods.settings. Only coordinates show hazards, so that only they are worth the simulator's start."""
    if obs != "coordinates":
        return settings(method, obs, preset)
    from agents.safedreamer.geometry import hazard_radius
    from benchmarks.envs import env_spec, make_env

    with contextlib.closing(make_env(task, obs)) as env:
        return settings(method, obs, preset, hazard_radius(env_spec(env)))
