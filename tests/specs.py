"""Run specs created from presets, for tests."""

from __future__ import annotations

from typing import Any

from benchmarks.methods import settings
from benchmarks.runs.spec import RunSpec


def spec_of(
    method: str = "osrp_lag", obs: str = "coordinates", preset: str = "debug", **changes: Any
) -> RunSpec:
    """Spec of a method on SafetyPointGoal1 with a preset; other fields can be overridden."""
    chosen = settings(method, obs, preset)
    fields: dict[str, Any] = {
        "method": method,
        "task": "SafetyPointGoal1-v0",
        "obs": obs,
        "seed": 0,
        "preset": preset,
        **chosen._asdict(),
    }
    return RunSpec(**(fields | changes))
