"""Specs of runs as presets make them, for tests."""

from __future__ import annotations

from typing import Any

from benchmarks.methods import settings
from benchmarks.runs.spec import RunSpec


def spec_of(
    method: str = "osrp_lag", obs: str = "coordinates", preset: str = "debug", **changes: Any
) -> RunSpec:
    """The spec of a method on SafetyPointGoal1 under a preset, with other fields where given."""
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
