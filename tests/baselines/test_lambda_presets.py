"""LAMBDA as a method: its presets and their protocols."""

from __future__ import annotations

from baselines.lambda_.config import LambdaConfig
from baselines.lambda_.presets import PRESETS
from benchmarks.methods import METHODS, settings


def test_presets_are_registered_with_their_protocols():
    assert METHODS["lambda"].presets == tuple(PRESETS)
    goal, push = (
        settings("lambda", "vision", "release", task=f"SafetyPoint{name}1-v0")
        for name in ("Goal", "Push")
    )
    assert (goal.steps, push.steps) == (1_000_000, 2_000_000)
    assert goal.agent == LambdaConfig(limit_scale="raw") and goal.loop.action_repeat == 2
    # 100 updates for 1000 simulator steps, after 5000 of random actions
    assert [goal.loop.updates_due(n) for n in (2500, 3000, 3500)] == [0, 100, 200]
    matched = settings("lambda", "vision", "matched")
    assert (
        matched.agent.cost_limit == 2.0
        and matched.agent.model.cameras == "all"
        and matched.loop.action_repeat == 4
    )
    assert [matched.loop.updates_due(n) for n in (1250, 1500, 1750)] == [0, 100, 200]
    assert (
        settings("lambda", "coordinates", "cpu").loop
        == settings("bsrp_lag", "coordinates", "cpu").loop
    )
