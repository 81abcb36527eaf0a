"""Safe SLAC as a method of the suite: its settings, and what they must agree on."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.methods import check_spec, settings
from benchmarks.runs.spec import BadInput, RunSpec, from_dict, to_dict


def spec_of(preset: str) -> RunSpec:
    chosen = settings("safe_slac", "vision", preset)
    return RunSpec(
        "safe_slac",
        "SafetyPointGoal1-v0",
        "vision",
        0,
        chosen.steps,
        preset,
        chosen.loop,
        chosen.replay,
        chosen.agent,
        max_minutes=chosen.max_minutes,
    )


@pytest.mark.parametrize("preset", ["release", "matched", "cpu", "debug"])
def test_specs_are_consistent_and_survive_their_file(preset: str):
    spec = spec_of(preset)
    check_spec(spec)
    assert from_dict(to_dict(spec), type(spec.agent)) == spec


def test_release_makes_one_update_an_agent_step():
    release, matched = spec_of("release"), spec_of("matched")
    assert (release.loop.action_repeat, release.agent.cost_limit) == (2, 25.0)
    assert release.loop.updates_due(release.loop.prefill + 1000) == 1000
    assert (release.loop.prefill * 2, release.loop.eval_every * 2, release.loop.batch_length) == (
        60_000,
        25_000,
        11,
    )
    assert release.loop.batch_size - release.agent.latent.batch == 64
    assert (matched.loop.action_repeat, matched.agent.cost_limit, matched.loop.prefill * 4) == (
        4,
        2.0,
        60_000,
    )


def test_batches_must_leave_windows_for_actor_and_critics():
    spec = spec_of("debug")
    small = dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, batch_size=2))
    with pytest.raises(BadInput, match=r"latent\.batch=2"):
        check_spec(small)
