"""Specs as values: identity, difference, spec.json round trip, refusal of impossible sizes.

Also the presets of the methods.
"""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmarks.methods import METHODS, settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.identity import diff, identity_of
from benchmarks.runs.plain_text import choose
from benchmarks.runs.spec import LoopConfig, RunSpec, to_dict
from benchmarks.runs.spec_file import from_dict
from tests.specs import spec_of
from tests.tree import ROOT

OURS = [name for name, method in METHODS.items() if method.family == "safedreamer"]


@pytest.mark.parametrize("preset", METHODS["osrp"].presets)
@pytest.mark.parametrize("obs", ["vision", "coordinates", "lidar"])
@pytest.mark.parametrize("method", OURS)
def test_every_preset_survives_spec_json(method, obs, preset):
    spec = spec_of(method, obs, preset)
    again = from_dict(to_dict(spec), METHODS[method].config_type(spec.obs))
    assert again == spec
    assert again.run_id == spec.run_id


def test_run_ids_depend_on_what_decides_the_result():
    spec = spec_of()
    deeper = dataclasses.replace(spec.agent, cost_limit=7.0)
    more = [
        spec_of(seed=1),
        spec_of("osrp"),
        spec_of(task="SafetyCarGoal1-v0"),
        spec_of(agent=deeper),
    ]
    more.append(spec_of(loop=dataclasses.replace(spec.loop, train_ratio=3.0)))
    assert len({s.run_id for s in [spec, *more]}) == 6


def test_run_ids_do_not_depend_on_the_rest():
    spec = spec_of()
    loop = dataclasses.replace(spec.loop, log_every=7, checkpoint_every=9, env_workers="inline")
    other = dataclasses.replace(
        spec,
        steps=99,
        loop=loop,
        replay=dataclasses.replace(spec.replay, directory="x"),
        init_from="y",
    )
    assert other.run_id == spec.run_id
    assert diff(to_dict(spec), to_dict(other)) == {}


def test_diff_names_nested_settings_with_both_values():
    spec = spec_of()
    planner = dataclasses.replace(spec.agent.planner, horizon=9)
    other = dataclasses.replace(
        spec, seed=5, agent=dataclasses.replace(spec.agent, planner=planner)
    )
    assert diff(to_dict(spec), to_dict(other)) == {"agent.planner.horizon": (4, 9), "seed": (0, 5)}


def test_settings_of_another_version_are_refused_by_name():
    data = to_dict(spec_of())
    data["loop"]["old_setting"] = data["loop"].pop("prefill")
    with pytest.raises(
        BadInput, match=r"unknown settings \['loop.old_setting'\] and lacks \['loop.prefill'\]"
    ):
        from_dict(data, METHODS["osrp_lag"].config_type("vision"))


def before(spec: RunSpec) -> dict:
    """The spec as it was written before `augmented.driven_by` and `planner.cost_critic` existed."""
    data = to_dict(spec)
    del data["agent"]["planner"]["cost_critic"]
    del data["agent"]["augmented"]["driven_by"]
    return data


def test_specs_from_before_a_setting_mean_what_was_done_then():
    spec = spec_of("bsrp_lag")
    assert from_dict(before(spec), METHODS["bsrp_lag"].config_type("vision")) == spec
    assert diff(before(spec), to_dict(spec)) == {}
    # so the run id equals the one hashed before the setting existed
    assert "agent.augmented.driven_by" not in identity_of(to_dict(spec))
    other = dataclasses.replace(
        spec.agent, augmented=dataclasses.replace(spec.agent.augmented, driven_by="episode")
    )
    changed = dataclasses.replace(spec, agent=other)
    assert changed.run_id != spec.run_id
    different = {"agent.augmented.driven_by": ("imagined", "episode")}
    assert diff(before(spec), to_dict(changed)) == different
    assert from_dict(to_dict(changed), METHODS["bsrp_lag"].config_type("vision")) == changed


def test_committed_runs_are_still_those_of_their_specs():
    """A campaign continues after settings are added: finished runs are recognised by their ids."""
    checked = 0
    for file in (ROOT / "results").rglob("spec.json"):
        saved = json.loads(file.read_text())
        method = METHODS[saved["spec"]["method"]]
        if method.engine == "jax":  # settings of others depend on installed packages
            spec = from_dict(saved["spec"], method.config_type(saved["spec"]["obs"]))
            assert spec.run_id == saved["run_id"], file
            checked += 1
    assert checked >= 7


def test_a_run_from_before_a_setting_loads_and_continues(tmp_path):
    from benchmarks.methods.saved import load_spec
    from benchmarks.runs.folder import check, claim

    spec = spec_of("bsrp_lag")
    with claim(spec, tmp_path):
        (tmp_path / "checkpoints" / "000000000100").mkdir(parents=True)
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"spec": before(spec)}))
    assert load_spec(tmp_path) == spec
    check(spec, tmp_path)
    other = dataclasses.replace(
        spec.agent, augmented=dataclasses.replace(spec.agent.augmented, driven_by="episode")
    )
    with pytest.raises(
        BadInput, match=r"agent\.augmented\.driven_by: there 'imagined', here 'episode'"
    ):
        check(dataclasses.replace(spec, agent=other), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_envs": 0}, "num_envs=0 must be at least 1"),
        ({"train_ratio": 0.0}, "train_ratio=0.0 must be positive"),
        ({"train_ratio": float("nan")}, "train_ratio=nan must be a number from above 0"),
        ({"batch_length": 1}, "batch_length=1 must be at least 2"),
        ({"prefill": 63}, "prefill=63 must be at least batch_length . num_envs = 64"),
        ({"eval_episodes": -1}, "eval_episodes=-1"),
    ],
)
def test_impossible_loops_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        LoopConfig(**change)


def test_impossible_runs_are_refused():
    with pytest.raises(BadInput, match="steps=0"):
        spec_of(steps=0)
    with pytest.raises(BadInput, match="seed=-1"):
        spec_of(seed=-1)
    with pytest.raises(BadInput, match=r"replay.capacity=31 must be at least"):
        spec_of(replay=dataclasses.replace(spec_of().replay, capacity=31))


def test_updates_follow_the_train_ratio_of_the_release():
    loop = settings("osrp_lag", "vision", "release").loop
    # 512 replayed steps per agent step over batches of 16 x 64 = 1024 steps: one update every
    # second agent step after prefill
    assert [loop.updates_due(n) for n in (0, 1024, 1025, 1026, 1027, 2024)] == [0, 0, 0, 1, 1, 500]


def test_release_action_repeats():
    repeats = {name: settings(name, "vision", "release").loop.action_repeat for name in OURS}
    assert repeats == {"osrp": 5, "osrp_lag": 4, "bsrp_lag": 4, "dreamerv3": 2, "cem": 5}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("osrp_lga", "did you mean osrp_lag"), ("zzz", "valid: osrp, ")],
    ids=["near", "far"],
)
def test_unknown_names_come_with_valid_ones(name, expected):
    with pytest.raises(BadInput, match=expected):
        choose("method", name, METHODS)
