"""Official checkpoints loaded as agents: names, sizes, rejected checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from agents.api import ArraySpec, EnvSpec
from agents.safedreamer.networks import Networks
from agents.safedreamer.release.checkpoint import infer_sizes, load_official
from agents.safedreamer.release.inert_arrays import CheckpointFormatError
from agents.safedreamer.release.params import check_fit, load_agent, observation_spec, translate
from tests.agent_inputs import VISION, tiny

VECTOR = EnvSpec({"observation": ArraySpec((12,), "float32")}, 2, 5, 1000)


def load(recordings: Path, name: str, env: EnvSpec, method: str):
    return load_agent(recordings / name / "official.ckpt", env, tiny(method, "lidar"), stoch=4)


@pytest.mark.parametrize(
    ("name", "env", "method"),
    [("small_vector", VECTOR, "osrp"), ("small_vision", VISION, "bsrp_lag")],
)
def test_every_parameter_is_the_checkpoints(recordings: Path, name: str, env: EnvSpec, method: str):
    agent, state = load(recordings, name, env, method)
    arrays = load_official(recordings / name / "official.ckpt").agent
    model = agent.config.model
    assert (model.deter, model.stoch, model.classes, model.units, model.head_layers) == (
        32,
        4,
        5,
        16,
        2,
    )
    wm, critics = "agent/wm", "agent/task_behavior"
    pairs = {
        f"{wm}/rssm/initial": state.params.model["rssm"]["initial_deter"],
        f"{wm}/rssm/gru/kernel": state.params.model["rssm"]["gru"]["kernel"],
        f"{wm}/rssm/obs_out/norm/bias": state.params.model["rssm"]["obs_out"]["norm"]["bias"],
        f"{wm}/rew/dist_out/out/bias": state.params.model["reward_head"]["out"]["bias"],
        f"{wm}/cost/h1/kernel": state.params.model["cost_head"]["mlp"]["blocks"][1]["linear"][
            "kernel"
        ],
        f"{critics}/safe_ac/actor/dist_out/std/kernel": state.params.actor["std"]["kernel"],
        f"{critics}/critic/net/h0/kernel": state.params.critic["mlp"]["blocks"][0]["linear"][
            "kernel"
        ],
        f"{critics}/critic/slow/h0/kernel": state.slow_critic["mlp"]["blocks"][0]["linear"][
            "kernel"
        ],
        f"{critics}/cost_critic/slow/dist_out/out/bias": state.slow_cost_critic["out"]["bias"],
    }
    for path, ours in pairs.items():
        np.testing.assert_array_equal(ours, arrays[path])
    # None is left out: the sizes add up to the checkpoint's, counters and normalisers aside.
    ours = sum(
        x.size for x in jax.tree.leaves((state.params, state.slow_critic, state.slow_cost_critic))
    )
    assert ours == sum(x.size for path, x in arrays.items() if not path.endswith("/value"))


def test_counters_and_multipliers_continue(recordings: Path):
    _, state = load(recordings, "small_vision", VISION, "bsrp_lag")
    arrays = load_official(recordings / "small_vision" / "official.ckpt").agent
    behaviour = "agent/task_behavior/safe_ac"
    assert float(state.return_norm.high) == pytest.approx(
        float(arrays[f"{behaviour}/retnorm_extr/high/value"])
    )
    assert float(state.augmented.multiplier) == pytest.approx(
        float(arrays[f"{behaviour}/lagrange/lagrange_multiplier/value"])
    )
    assert int(state.updates) == int(arrays["agent/task_behavior/critic/updates/value"])


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (dataclasses.replace(VECTOR, action_dim=3), "takes 3"),
        (
            dataclasses.replace(VECTOR, obs={"observation": ArraySpec((29,), "float32")}),
            "choose the task",
        ),
        (VISION, "choose the task"),
    ],
)
def test_another_task_is_refused(recordings: Path, env: EnvSpec, message: str):
    with pytest.raises(CheckpointFormatError, match=message):
        load(recordings, "small_vector", env, "osrp")


def test_observation_spec_is_that_of_the_checkpoint(recordings: Path):
    for name, env in (("small_vector", VECTOR), ("small_vision", VISION)):
        sizes = infer_sizes(load_official(recordings / name / "official.ckpt").agent, 4)
        assert observation_spec(sizes) == dict(env.obs)
        check_fit(sizes, env)


def test_missing_and_misshapen_arrays_are_named():
    template = {"rssm": {"gru": {"kernel": np.zeros((3, 4))}}}
    with pytest.raises(CheckpointFormatError, match="no array 'agent/wm/rssm/gru/kernel'"):
        translate(template, {})
    with pytest.raises(CheckpointFormatError, match=r"has shape \(4, 3\).*\(3, 4\)"):
        translate(template, {"agent/wm/rssm/gru/kernel": np.zeros((4, 3))})
    got = translate(template, {"agent/wm/rssm/gru/kernel": np.ones((3, 4), np.float64)})
    assert got["rssm"]["gru"]["kernel"].dtype == np.float32


def test_a_loaded_agent_acts_and_learns(recordings: Path):
    agent, state = load(recordings, "small_vector", VECTOR, "osrp")
    obs = {"observation": np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)}
    action, _, _ = agent.act(
        state, agent.init_carry(2), obs, np.ones(2, bool), jax.random.key(0), "eval"
    )
    assert np.abs(np.asarray(action)).max() <= 1.0
    assert isinstance(state.params, Networks)
    structure = jax.eval_shape(agent.init, 0)
    assert jax.tree.structure(state) == jax.tree.structure(structure)
