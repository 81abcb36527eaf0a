"""Safe SLAC as a method of the suite: its settings and their consistency."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.methods import check_spec
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import to_dict
from benchmarks.runs.spec_file import from_dict
from tests.specs import spec_of


@pytest.mark.parametrize("preset", ["release", "matched", "cpu", "debug"])
def test_specs_are_consistent_and_survive_their_file(preset: str):
    spec = spec_of("safe_slac", "vision", preset)
    check_spec(spec)
    assert from_dict(to_dict(spec), type(spec.agent)) == spec


def test_release_makes_one_update_an_agent_step():
    release, matched = (spec_of("safe_slac", "vision", name) for name in ("release", "matched"))
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
    spec = spec_of("safe_slac", "vision", "debug")
    small = dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, batch_size=2))
    with pytest.raises(BadInput, match=r"latent\.batch=2"):
        check_spec(small)
