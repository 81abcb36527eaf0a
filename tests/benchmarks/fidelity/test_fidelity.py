"""The fidelity command: passes on the release's recordings and on others, and notices when anything
is off.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import folders, planner
from benchmarks.fidelity.__main__ import main
from benchmarks.fidelity.arrays import load_arrays
from benchmarks.fidelity.recording import Recording, load_recording
from benchmarks.fidelity.report import compare
from tests.numpy_release import Sizes, write_recording


def off(rec: Recording, **changed: np.ndarray) -> set[str]:
    """Names of quantities that are off after replacing arrays of a recording."""
    changed_rec = dataclasses.replace(rec, arrays={**rec.arrays, **changed})
    return {row.quantity for row in folders.check_agent(changed_rec) if not row.ok}


@pytest.fixture(scope="module")
def vector(recordings: Path) -> Recording:
    return load_recording(recordings / "small_vector")


@pytest.fixture(scope="module")
def template(recordings: Path) -> dict:
    return json.loads((recordings / "small_vector" / "config.json").read_text())


# The release's recordings


@pytest.mark.slow
def test_all_of_the_release_passes(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(planner, "OUR_SEEDS", 16)
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "OFF" not in printed
    for heading in (
        *folders.FILES,
        "small_vector/agent",
        "small_vector/planner",
        "small_vision/agent",
        "small_vision/checkpoint",
    ):
        assert f"\n{heading}\n" in printed, heading
    for quantity in (
        "embed",
        "imag_return",
        "actor_penalty",
        "cost_critic_loss",
        "pid/decay/multiplier",
        "planner/lag_all_safe/std2",
    ):
        assert f"\n{quantity} " in printed, quantity


@pytest.mark.slow
def test_every_array_of_the_recording_is_compared(vector: Recording):
    rows = {row.quantity: row for row in folders.check_agent(vector)}
    inputs = {name for name in vector.arrays if name.startswith("data_")}
    assert set(vector.arrays) - inputs == set(rows)
    assert [name for name, row in rows.items() if not row.ok] == []
    assert max(row.rel_error for row in rows.values()) < 1e-4


# Tampering


OUTPUTS = [
    "embed",
    "initial_deter",
    "post_logit",
    "pred_cost",
    "dyn_loss",
    "actor_std",
    "imag_return",
    "critic_loss",
]


@pytest.mark.parametrize("names", [OUTPUTS, ["post_logit"], ["actor_std"]])
def test_changed_outputs_are_off_alone(vector: Recording, names: list[str]):
    changed = {name: vector.arrays[name].copy() for name in names}
    for array in changed.values():
        array.reshape(-1)[-1] += 0.01 * np.abs(array).max()
    assert off(vector, **changed) == set(names)


def test_changed_samples_are_off(vector: Recording):
    # classes other than those the prior favours
    stoch = np.roll(vector.arrays["prior_stoch"], 1, -1)
    assert off(vector, prior_stoch=stoch) == {"prior_stoch"}
    action = vector.arrays["imag_action"] * 3.0
    assert "imag_action" in off(vector, imag_action=action)


def test_an_unknown_quantity_is_named_and_a_known_one_must_be_compared(vector: Recording):
    assert off(vector, extra=np.zeros(3)) == set()
    assert off(vector, imag_surprise=np.zeros(3)) == {"imag_surprise"}


def test_a_changed_file_gives_exit_status_1(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    arrays = load_arrays(recordings / "pid_lagrangian.npz")
    arrays["decay_out"][-1, 2] *= 1.01
    np.savez(tmp_path / "pid_lagrangian.npz", **arrays)
    shutil.copy(recordings / "distributions.npz", tmp_path)
    assert main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("OFF  ") == 1
    assert "OFF  pid_lagrangian.npz: pid/decay/integral" in printed


def test_a_changed_checkpoint_is_off(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    for name in ("official.ckpt", "params.json"):
        shutil.copy(recordings / "small_vector" / name, tmp_path)
    listing = json.loads((tmp_path / "params.json").read_text())
    listing["agent/wm/rssm/initial"][0] = [33]
    (tmp_path / "params.json").write_text(json.dumps(listing))
    assert main([str(tmp_path)]) == 1
    assert "agent/wm/rssm/initial" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["config.json", "official.ckpt"])
def test_half_an_agent_is_off_and_says_what_it_lacks(
    recordings: Path, tmp_path: Path, missing: str, capsys: pytest.CaptureFixture
):
    folder = tmp_path / "agent"
    shutil.copytree(
        recordings / "small_vector", folder, ignore=shutil.ignore_patterns(missing, "planner.npz")
    )
    assert main([str(tmp_path)]) == 1
    assert missing.replace("official", "*") in capsys.readouterr().out


def test_without_a_checkout_it_says_that_a_folder_is_needed(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr("benchmarks.fidelity.__main__.RECORDINGS", tmp_path / "absent")
    assert main([]) == 2
    assert "give a folder" in capsys.readouterr().err


def test_a_missing_part_is_named(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    arrays = load_arrays(recordings / "augmented_lagrangian.npz")
    del arrays["fast_init"]
    np.savez(tmp_path / "augmented_lagrangian.npz", **arrays)
    assert main([str(tmp_path)]) == 1
    assert "augmented_lagrangian.npz lacks fast_init" in capsys.readouterr().out


def test_nothing_to_check_gives_exit_status_2(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main([str(tmp_path)]) == 2
    assert "pid_lagrangian.npz" in capsys.readouterr().err
    assert main([str(tmp_path / "absent")]) == 2


# Distributions of plans


def test_comparison_of_plans():
    rng = np.random.default_rng(0)
    draw = lambda seeds, mean=0.0, std=0.2: mean + std * rng.normal(size=(4, seeds, 6, 2))  # noqa: E731
    reference = draw(64)
    limit = planner.mean_limit(48, 64, 64)
    assert (
        limit
        == planner.MAX_STANDARD_ERRORS
        < planner.mean_limit(600, 64, 64)
        < planner.mean_limit(600, 16, 64)
        < 6.0
    )
    # Student's quantile for 126 degrees of freedom and a tail of 0.01 / 1200, computed: 4.478.
    assert planner.mean_limit(600, 64, 64) == pytest.approx(4.478, abs=0.005)
    assert planner.compare_plans("x", draw(64), reference, limit).ok
    assert not planner.compare_plans("x", draw(64, mean=0.15), reference, limit).ok
    assert not planner.compare_plans("x", draw(64, std=0.3), reference, limit).ok
    assert not planner.compare_plans("x", draw(64)[:, :, :5], reference, limit).ok
    constant = np.ones((4, 64, 6, 2))
    assert planner.compare_plans("x", constant, constant, limit).ok
    assert not planner.compare_plans("x", constant, 0.9 * constant, limit).ok


@pytest.mark.slow
def test_a_wrong_planner_is_noticed(recordings: Path, vector: Recording):
    """Plans by return compared with the release's plans by least cost."""
    arrays = load_arrays(recordings / "small_vector" / "planner.npz")
    config = planner.planner_config(vector, arrays["settings"], "return")
    ours = planner.sample_plans(
        planner.make_planner(vector, config, arrays["starts"], 1e9, 0.0), 24
    )
    limit = planner.mean_limit(100, 24, 64)
    assert planner.compare_plans("mean", ours["mean"], arrays["all_safe_mean"], limit).ok
    assert not planner.compare_plans("mean", ours["mean"], arrays["all_unsafe_mean"], limit).ok


# Recordings of other sizes, made by plain NumPy


OTHERS = {
    "two vectors, augmented Lagrangian": Sizes({"zebra": 3, "apple": 4}, lagrange=True),
    "image and vector, no costs": Sizes(
        {"pose": 5}, images=("cam",), costs=False, actions=1, length=3, horizon=2
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_sizes_pass(name: str, template: dict, tmp_path: Path, capsys: pytest.CaptureFixture):
    write_recording(tmp_path / "agent", OTHERS[name], template)
    status = main([str(tmp_path)])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert ("actor_penalty" in printed) == OTHERS[name].lagrange
    assert ("imag_cost_return" in printed) == OTHERS[name].costs


def test_compare_by_hand():
    row = compare("x", [1.0, 2.0], [1.0, 4.0])
    assert (row.abs_error, row.rel_error, row.ok) == (2.0, 0.5, False)
    assert compare("x", [0.0, 1e-4], [0.0, 0.0]).ok  # absolute where the reference is zero
    assert not compare("x", [np.nan], [1.0]).ok
    assert not compare("x", [1.0, 1.0], [1.0]).ok
