"""OmniSafe's settings: read from its files, with one name for the cost limit, rejected where
OmniSafe would ignore, drop or fail on them.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest

from baselines.omnisafe import config as configs
from baselines.omnisafe.algorithms import ALGORITHMS
from benchmarks.cli.train import read
from benchmarks.methods import METHODS, check_spec, method, settings
from benchmarks.methods import omnisafe_presets as presets
from benchmarks.runs.errors import BadInput
from benchmarks.runs.identity import flatten
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.runs.spec_file import from_dict
from benchmarks.suites import overrides
from tests import specs
from tests.specs import with_agent

TASK = "SafetyPointGoal1-v0"
spec_of = functools.partial(specs.spec_of, obs="lidar", preset="release")
pytestmark = pytest.mark.omnisafe


def with_loop(spec: RunSpec, **changes: Any) -> RunSpec:
    return dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, **changes))


def test_the_table_names_all_that_the_package_has():
    folder = (
        Path(configs.importlib.util.find_spec("omnisafe").submodule_search_locations[0]) / "configs"
    )  # type: ignore
    there = {
        (path.parent.name, path.stem)
        for path in folder.glob("*/*.yaml")
        if path.parent.name != "offline"
    }
    assert {(row.family, row.omnisafe) for row in ALGORITHMS.values()} == there
    assert len(ALGORITHMS) == 38


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("preset", ["release", "matched", "cpu", "debug"])
def test_every_preset_is_a_run_that_is_accepted_and_survives_its_file(name: str, preset: str):
    spec = spec_of(name, preset=preset)
    check_spec(spec)
    again = from_dict(to_dict(spec), METHODS[name].config_type(spec.obs))
    assert again == spec
    assert again.run_id == spec.run_id


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_cost_limit_reaches_every_place_where_the_algorithm_looks(name: str):
    row = ALGORITHMS[name]
    config = configs.defaults(name)
    if not row.constrained:
        assert not hasattr(config, "cost_limit")
        return
    assert config.cost_limit == (1.0 if row.family == "model-based" else 25.0)
    tree = flatten(_tree(name, dataclasses.replace(config, cost_limit=7.5)))
    assert {key: tree[key] for key in row.limit} == dict.fromkeys(row.limit, 7.5)
    assert [
        key for key in flatten(dataclasses.asdict(config)) if key.endswith(("limit", "budget"))
    ] == ["cost_limit"]


def _tree(name: str, config: Any, steps: int = 10**6, repeat: int = 1) -> dict[str, Any]:
    return configs.to_omnisafe(
        name, config, seed=3, num_envs=1, total_steps=steps, episode_steps=250, action_repeat=repeat
    )


@pytest.mark.parametrize("name", ALGORITHMS)
def test_release_is_their_file_but_for_what_this_suite_decides(name: str):
    theirs = dict(configs._flatten(configs._yaml(name)["defaults"]))
    assert not theirs.pop("env_cfgs", None)
    ours = flatten(
        _tree(name, configs.defaults(name), repeat=configs.published_action_repeat(name))
    )
    changed = {
        k
        for k in theirs
        if (list(theirs[k]) if isinstance(theirs[k], tuple) else theirs[k]) != ours[k]
    }
    assert changed <= {
        "seed",
        "train_cfgs.total_steps",
        "train_cfgs.eval_episodes",
        "algo_cfgs.max_ep_len",
        "logger_cfgs.use_tensorboard",
        "evaluation_cfgs.use_eval",
        "dynamics_cfgs.predict_cost",
    }


def test_blocks_for_single_tasks_hold_under_the_tasks_own_id():
    tuned, plain = (
        configs.defaults("omnisafe_sac_lag", TASK),
        configs.defaults("omnisafe_sac_lag", "SafetyCarButton1-v0"),
    )
    assert (
        tuned.algo_cfgs.alpha,
        tuned.model_cfgs.actor.lr,
        tuned.lagrange_cfgs.lagrangian_multiplier_init,
    ) == (
        1e-5,
        5e-6,
        0.0,
    )
    assert (
        plain.algo_cfgs.alpha,
        plain.model_cfgs.actor.lr,
        plain.lagrange_cfgs.lagrangian_multiplier_init,
    ) == (
        0.2,
        3e-4,
        1e-3,
    )
    assert configs.defaults("ppo_saute", TASK).algo_cfgs.unsafe_reward == -0.2
    assert configs.published_action_repeat("pets", "SafetyAntVelocity-v1") == 1
    assert configs.published_action_repeat("pets", TASK) == 5


def test_of_the_blocks_only_what_nothing_reads_is_left_out():
    out = set()
    for name in ALGORITHMS:
        schema = set(configs._schema(name))
        for task in configs._yaml(name).keys() - {"defaults"}:
            out |= (
                set(configs.task_block(name, task))
                - schema
                - configs.OURS
                - set(ALGORITHMS[name].limit)
            )
    # algo_cfgs.cost_limit: in cap_pets, whose limit is a setting of its multiplier
    assert out == {*configs.DEAD, "algo_cfgs.cost_limit"}


def test_matched_has_our_repeat_and_limit_and_keeps_lengths_in_simulator_steps():
    release, matched = (
        spec_of("omnisafe_sac_lag", preset=preset) for preset in ("release", "matched")
    )
    assert (release.loop.action_repeat, release.agent.cost_limit) == (1, 25.0)
    assert (matched.loop.action_repeat, matched.agent.cost_limit) == (4, 2.0)
    for key in ("steps_per_epoch", "start_learning_steps"):
        assert getattr(matched.agent.algo_cfgs, key) * 4 == getattr(release.agent.algo_cfgs, key)
    assert presets.budget(spec_of("pets", preset="matched"), 1000) == (2_000_000, 1000, 1, 4, 1)
    assert presets.budget(matched, 1000) == (500_000, 250, 4, 1, 4)


def test_safedreamer_has_no_matched_preset():
    with pytest.raises(BadInput, match="osrp has no preset matched"):
        settings("osrp", "vision", "matched")


def test_cpu_keeps_the_steps_until_the_multiplier_moves():
    for preset in ("release", "cpu"):
        algo = spec_of("td3_pid", preset=preset).agent.algo_cfgs
        assert algo.warmup_epochs * algo.steps_per_epoch == 200_000


def test_a_multiplier_that_never_moves_is_said_loudly():
    short = spec_of("omnisafe_sac_lag", steps=200_000)
    (line,) = presets.warnings(short)
    assert "NEVER" in line and "202,000" in line
    (line,) = presets.warnings(spec_of("omnisafe_sac_lag"))
    assert "NEVER" not in line
    assert presets.warnings(spec_of("ppo_lag")) == []


def refusal(spec: RunSpec) -> str:
    with pytest.raises(BadInput) as caught:
        check_spec(spec)
    return str(caught.value)


def test_remainder_steps_are_refused_with_the_nearest_budgets():
    assert "--steps 1000000 or 1020000" in refusal(spec_of("ppo_lag", steps=1_001_500))
    assert "--steps 20000," in refusal(spec_of("cpo", steps=1500))
    matched = spec_of("ppo_lag", preset="matched", steps=30_000)
    assert "--steps 20000 or 40000" in refusal(matched)
    check_spec(dataclasses.replace(matched, steps=40_000))


@pytest.mark.parametrize("name", ["ppo_saute", "trpo_simmer_pid"])
def test_a_budget_of_zero_is_refused_where_it_would_be_divided_by(name: str):
    spec = spec_of(name)
    assert "--cost-limit above 0" in refusal(with_agent(spec, {"cost_limit": 0.0}))
    check_spec(with_agent(spec, {"cost_limit": 0.5}))


def test_epochs_in_which_no_episode_can_end_are_refused_with_the_shortest():
    spec = spec_of("ppo_lag", steps=8000)
    assert "at least --algo-cfgs.steps-per-epoch 1000" in refusal(
        with_agent(spec, {"algo_cfgs.steps_per_epoch": 800})
    )
    check_spec(with_agent(spec, {"algo_cfgs.steps_per_epoch": 1000}))
    four = with_loop(spec, num_envs=4)
    assert "at least --algo-cfgs.steps-per-epoch 4000" in refusal(
        with_agent(four, {"algo_cfgs.steps_per_epoch": 2000})
    )
    # 1000 / 3, rounded up
    repeated = with_loop(dataclasses.replace(spec, steps=9000), action_repeat=3)
    assert "at least --algo-cfgs.steps-per-epoch 334" in refusal(
        with_agent(repeated, {"algo_cfgs.steps_per_epoch": 300})
    )


def test_a_multiplier_updated_before_any_episode_has_ended_is_refused():
    spec = spec_of("omnisafe_sac_lag", steps=10_000)
    early = {
        "algo_cfgs.start_learning_steps": 100,
        "algo_cfgs.warmup_epochs": 0,
        "algo_cfgs.steps_per_epoch": 500,
    }
    assert "--algo-cfgs.start-learning-steps 1000" in refusal(with_agent(spec, early))
    check_spec(with_agent(spec, early | {"algo_cfgs.start_learning_steps": 1000}))


@pytest.mark.parametrize(
    "name, why",
    [
        ("omnisafe_sac_lag", "hangs"),
        ("pets", "one environment"),
        ("ppo_early_terminated", "one env"),
    ],
)
def test_several_environments_are_refused_where_they_hang_or_are_not_meant(name: str, why: str):
    assert why in refusal(with_loop(spec_of(name), num_envs=2))


def test_environments_share_an_epoch_evenly():
    assert "multiple of loop.num_envs=3" in refusal(with_loop(spec_of("ppo_lag"), num_envs=3))
    check_spec(with_loop(spec_of("ppo_lag"), num_envs=4))


@pytest.mark.parametrize(
    "name", ["prefill", "train_ratio", "batch_size", "batch_length", "log_every"]
)
def test_settings_of_our_loop_that_mean_nothing_are_refused(name: str):
    spec = spec_of("ppo_lag")
    assert f"loop.{name} does nothing" in refusal(
        with_loop(spec, **{name: getattr(spec.loop, name) * 2})
    )


def test_typos_name_the_nearest_setting():
    with pytest.raises(BadInput, match=r"--algo-cfgs\.clip"):
        read(["--method", "ppo_lag", "--algo-cfgs.clp", "0.3"])
    _, spec = read(
        [
            "--method",
            "ppo_lag",
            "--algo-cfgs.clip",
            "0.3",
            "--cost-limit",
            "5",
            "--model-cfgs.actor.hidden-sizes",
            "8",
            "9",
        ]
    )
    assert (
        spec.agent.algo_cfgs.clip,
        spec.agent.cost_limit,
        spec.agent.model_cfgs.actor.hidden_sizes,
    ) == (0.3, 5.0, (8, 9))
    assert spec.obs == "lidar"  # the published observation of the task is vision


def test_suites_can_set_every_setting():
    chosen = settings("trpo_lag", "lidar", "release", task=TASK)
    wanted = {
        "cost_limit": 3,
        "model_cfgs.actor.hidden_sizes": [8, 8],
        "model_cfgs.actor.lr": "1e-3",
        "loop.num_envs": 2,
    }
    changed = overrides.apply(
        chosen, dict(overrides.check(chosen, name, value) for name, value in wanted.items())
    )
    assert (changed.agent.cost_limit, changed.agent.model_cfgs.actor.hidden_sizes) == (3.0, (8, 8))
    assert (changed.agent.model_cfgs.actor.lr, changed.loop.num_envs) == (1e-3, 2)
    with pytest.raises(BadInput, match="did you mean cost_limit"):
        overrides.check(chosen, "cost_limits", 1)


def test_schedules_make_the_budget_part_of_what_a_run_is():
    falling, steady = spec_of("ppo_lag"), spec_of("trpo_lag")
    longer = [dataclasses.replace(spec, steps=2 * spec.steps) for spec in (falling, steady)]
    assert longer[0].run_id != falling.run_id
    assert longer[1].run_id == steady.run_id


def test_names_of_theirs_and_offline_ones_are_answered():
    with pytest.raises(BadInput, match="did you mean ppo_lag"):
        method("PPOLag")
    for name in ("BCQ-Lag", "vae_bc", "COptiDICE", "CCRR"):
        with pytest.raises(BadInput, match="out of scope"):
            method(name)


def test_without_the_package_methods_are_listed_and_training_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(configs.importlib.util, "find_spec", lambda _: None)
    for cached in (configs._yaml, configs._schema, configs.config_type, configs.vision_config_type):
        cached.cache_clear()
    try:
        with pytest.raises(BadInput, match="make omnisafe"):
            read(["--method", "cpo"])
        with pytest.raises(BadInput, match="make omnisafe"):
            _ = METHODS["cpo"].config_type("lidar")
    finally:
        for cached in (
            configs._yaml,
            configs._schema,
            configs.config_type,
            configs.vision_config_type,
        ):
            cached.cache_clear()


def test_evaluations_of_their_own_are_off():
    # PETS evaluations would record videos.
    assert flatten(_tree("pets", configs.defaults("pets")))["evaluation_cfgs.use_eval"] is False
    assert (
        flatten(_tree("omnisafe_sac", configs.defaults("omnisafe_sac")))["train_cfgs.eval_episodes"]
        == 0
    )


def test_devices():
    assert [configs.device_name(name) for name in ("cpu", "cuda", "cuda:1")] == [
        "cpu",
        "cuda:0",
        "cuda:1",
    ]
