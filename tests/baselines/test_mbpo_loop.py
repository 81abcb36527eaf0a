"""The off-policy methods as methods of the suite: settings and their consistency, resume."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents.api import ArraySpec, EnvSpec
from baselines.mbpo.agent import MBPO
from baselines.mbpo.presets import agent_config
from benchmarks.methods import METHODS, check_spec, method, settings
from benchmarks.methods.mbpo import ALL
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import read_records
from benchmarks.runs.spec import to_dict
from benchmarks.runs.spec_file import from_dict
from benchmarks.training.loop import Options, train
from tests.fakes.toys import StopAfter, metric_rows, steady, toy_env, toy_spec
from tests.specs import spec_of

NAMES = ("sac", "sac_lag", "mbpo", "mbpo_lag", "dyna", "dyna_lag", "mve", "mve_lag")
PRESETS = ("release", "matched", "cpu", "debug")


def test_the_command_lists_them_beside_omnisafes(capsys):
    from benchmarks.cli.methods import main

    assert tuple(sorted(ALL)) == tuple(sorted(NAMES))
    assert {METHODS[name].engine for name in NAMES} == {"jax"}
    assert {METHODS[name].engine for name in ("omnisafe_sac", "omnisafe_sac_lag")} == {"torch"}
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {name for name in NAMES if any(line.split()[:1] == [name] for line in lines)} == set(
        NAMES
    )
    with pytest.raises(BadInput, match="did you mean omnisafe_sac_lag"):
        method("SACLag")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["sac_lag", "mbpo_lag", "dyna_lag", "mve_lag"])
def test_specs_are_consistent_and_survive_their_file(name: str, preset: str):
    spec = spec_of(name, "lidar", preset)
    check_spec(spec)
    assert from_dict(to_dict(spec), type(spec.agent)) == spec


def test_release_makes_the_published_number_of_updates():
    sac, mbpo, matched = (
        spec_of("sac_lag", "lidar", "release"),
        spec_of("mbpo_lag", "lidar", "release"),
        spec_of("mbpo_lag", "lidar", "matched"),
    )
    assert sac.loop.updates_due(sac.loop.prefill + 1000) == 1000
    assert mbpo.loop.updates_due(mbpo.loop.prefill + 1000) == 20_000
    # 400 rollouts per environment step, a fit every 250 steps
    assert mbpo.agent.rollout.starts * 20 == 400
    assert mbpo.agent.model.fit_every == 20 * 250
    assert (mbpo.loop.action_repeat, mbpo.agent.cost_limit) == (1, 25.0)
    assert (matched.loop.action_repeat, matched.agent.cost_limit) == (4, 2.0)


@pytest.mark.parametrize("name", NAMES)
def test_vision_is_refused_with_the_reason(name: str):
    with pytest.raises(BadInput, match="does not support images: the model of its family predicts"):
        settings(name, "vision", "release")


def test_a_batch_must_hold_the_states_that_rollouts_start_from():
    spec = spec_of("mbpo_lag", "lidar", "debug")
    small = dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, batch_size=2))
    with pytest.raises(BadInput, match=r"rollout\.starts=3.*--loop\.batch-size 3"):
        check_spec(small)
    large = dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, batch_size=65))
    with pytest.raises(BadInput, match=r"model\.window=64"):
        check_spec(large)


@functools.cache
def mbpo_lag(obs_dim: int) -> MBPO:
    """One stateless agent for all starts of the run, compiled once."""
    env = EnvSpec({"observation": ArraySpec((obs_dim,), "float32")}, 2, 2, 20)
    return MBPO(agent_config("mbpo_lag", "debug"), env)


def run(out: Path, iterations: int | None = None) -> None:
    """Train MBPO-Lag on the shore to the end, or stop after `iterations`."""
    spec = toy_spec(steps=400, batch_size=6, batch_length=2, train_ratio=12.0)
    spec = dataclasses.replace(spec, method="mbpo_lag", agent=agent_config("mbpo_lag", "debug"))
    options = Options() if iterations is None else Options(stop=StopAfter(iterations))
    train(spec, out, toy_env, lambda env: mbpo_lag(env.obs["observation"].shape[0]), options)


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_the_run_that_never_stopped(tmp_path):
    run(tmp_path / "whole")
    for iterations in (23, 11, None):  # in the middle of warm-up and fits
        run(tmp_path / "stopped", iterations)
    for split in ("train", "eval"):
        whole, stopped = (
            steady(read_records(tmp_path / name), split) for name in ("whole", "stopped")
        )
        pd.testing.assert_frame_equal(whole, stopped)
        assert len(whole) > 0
    last = [
        {k: v for k, v in metric_rows(tmp_path / name)[-1].items() if k.startswith("train/")}
        for name in ("whole", "stopped")
    ]
    assert last[0] == last[1]
    assert last[0]["train/rollout/rows"] > 0
    assert np.isfinite(list(last[0].values())).all()
