"""Run specs created from presets, for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from agents.settings import replaced
from benchmarks.methods import settings
from benchmarks.runs.spec import RunSpec


def spec_of(
    method: str = "osrp_lag",
    obs: str = "coordinates",
    preset: str = "debug",
    task: str = "SafetyPointGoal1-v0",
    **changes: Any,
) -> RunSpec:
    """Spec of a method on a task with a preset; other fields can be overridden."""
    chosen = settings(method, obs, preset, task=task)
    fields: dict[str, Any] = {
        "method": method,
        "task": task,
        "obs": obs,
        "seed": 0,
        "preset": preset,
        **chosen._asdict(),
    }
    return RunSpec(**(fields | changes))


def with_agent(spec: RunSpec, changes: Mapping[str, Any]) -> RunSpec:
    """The spec with changed settings of the agent, by dotted name."""
    return dataclasses.replace(spec, agent=replaced(spec.agent, changes))
