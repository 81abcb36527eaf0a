"""Checkpoints: every leaf is restored, mismatches are refused by name, and a crash leaves the
previous checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.runs import checkpoint
from benchmarks.runs.errors import BadInput
from tests import learner_states
from tests.damage import flip


class State(NamedTuple):
    params: dict
    count: jax.Array
    history: np.ndarray
    nothing: None
    plain: float


def state(scale: float = 1.0) -> State:
    params = {
        "half": jnp.array([0.1, 1e30], jnp.bfloat16) * scale,
        "list": [jnp.arange(6.0).reshape(2, 3) * scale],
    }
    return State(params, jnp.int32(7 * scale), np.array([1.5, 2.5]) * scale, None, 0.25 * scale)


def save(folder, env_steps=100, run_id="abc", value=None):
    return checkpoint.save(
        folder,
        env_steps,
        {"learner": state() if value is None else value},
        {"run_id": run_id, "counters": {"updates": 3}},
    )


def test_every_leaf_comes_back_with_its_type(tmp_path):
    path = save(tmp_path)
    loaded = checkpoint.load(path, "learner", state(0.0))
    assert jax.tree.structure(loaded) == jax.tree.structure(state())
    for got, expected in zip(jax.tree.leaves(loaded), jax.tree.leaves(state()), strict=True):
        assert type(got) is type(expected)
        assert np.asarray(got).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(np.asarray(got, np.float64), np.asarray(expected, np.float64))


def test_meta_comes_back_for_its_own_run_only(tmp_path):
    path = save(tmp_path)
    meta = checkpoint.read_meta(path, "abc")
    assert meta["counters"] == {"updates": 3} and meta["env_steps"] == 100
    with pytest.raises(BadInput, match="belongs to run abc, not to xyz"):
        checkpoint.read_meta(path, "xyz")


def test_a_state_of_another_shape_structure_or_dtype_is_refused_by_name(tmp_path):
    path = save(tmp_path)
    wider = state()._replace(history=np.zeros(3))
    with pytest.raises(
        BadInput, match=r"saved .history is float64\[2\], the agent's is float64\[3\]"
    ):
        checkpoint.load(path, "learner", wider)
    with pytest.raises(BadInput, match=r"saved .count is int32\[\], the agent's is float32\[\]"):
        checkpoint.load(path, "learner", state()._replace(count=jnp.float32(0)))
    with pytest.raises(BadInput, match=r"more'\] is in only one of them"):
        checkpoint.load(
            path, "learner", state()._replace(params={**state().params, "more": jnp.zeros(2)})
        )


def test_the_newest_two_are_kept(tmp_path):
    for env_steps in (900, 1_000, 20_000):
        save(tmp_path, env_steps)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000000001000", "000000020000"]
    assert checkpoint.find(tmp_path) == (tmp_path / "000000020000", ())


def test_none_before_the_first(tmp_path):
    assert checkpoint.find(tmp_path) == (None, ())
    assert checkpoint.find(tmp_path / "absent") == (None, ())


def test_a_crash_while_saving_leaves_the_one_before(tmp_path, monkeypatch):
    save(tmp_path, 100)

    def crash(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.json, "dumps", crash)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path, 200)
    monkeypatch.undo()
    newest, _ = checkpoint.find(tmp_path)
    assert newest == tmp_path / "000000000100"
    assert checkpoint.load(newest, "learner", state(0.0)).count == 7
    assert save(tmp_path, 200).name == "000000000200"  # leftovers of the crash do not interfere
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000100", "000000000200"]


def test_saving_again_at_the_same_step_replaces(tmp_path):
    save(tmp_path, 100)
    save(tmp_path, 100, value=state(2.0))
    assert checkpoint.load(tmp_path / "000000000100", "learner", state()).count == 14


DAMAGE = {
    "cut short": (
        lambda path: os.truncate(path / "learner.npz", 100),
        "learner.npz is not what was written",
    ),
    "one bit": (lambda path: flip(path / "learner.npz"), "learner.npz is not what was written"),
    "a bit of the counters": (
        lambda path: flip(path / "meta.json"),
        "meta.json is not what was written",
    ),
    "no arrays": (lambda path: (path / "learner.npz").unlink(), "learner.npz is missing"),
    "no sums": (lambda path: (path / "SHA256SUMS").unlink(), "it holds no SHA256SUMS"),
    "empty sums": (lambda path: (path / "SHA256SUMS").write_text(""), "SHA256SUMS is cut short"),
    "sums of one file": (
        lambda path: (path / "SHA256SUMS").write_text("0  learner.npz\n"),
        "SHA256SUMS is cut short",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_found(tmp_path, damage):
    whole, newest = save(tmp_path, 100), save(tmp_path, 200)
    hurt, fault = DAMAGE[damage]
    hurt(newest)
    assert checkpoint.find(tmp_path) == (whole, ((newest, fault),))
    assert checkpoint.set_aside(newest).name == "damaged-000000000200" and checkpoint.find(
        tmp_path
    ) == (whole, ())
    hurt(save(tmp_path, 200))
    # the first damaged one still has that name
    assert checkpoint.set_aside(newest).name == "damaged-000000000200-1"


def test_the_sums_are_those_of_a_standard_tool(tmp_path):
    path = save(tmp_path)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=path,
        check=True,
        capture_output=True,
    )


def test_a_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 1)
    path = save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(
        BadInput, match="has format 1, this version reads 2: continue the run with the commit"
    ):
        checkpoint.read_meta(path, "abc")


def test_loading_runs_no_code_from_the_file(tmp_path):
    path = save(tmp_path)
    arrays = dict(np.load(path / "learner.npz"))
    arrays[".history"] = np.array([print], dtype=object)
    np.savez(path / "learner.npz", **arrays)
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint.load(path, "learner", state())


def test_typed_keys_have_no_place_in_a_state(tmp_path):
    with pytest.raises(TypeError, match=r"PRNG key at .*key"):
        save(tmp_path, value={"key": jax.random.key(0)})


def test_a_crash_between_the_renames_of_a_second_save_at_one_step_leaves_the_first(
    tmp_path, monkeypatch
):
    save(tmp_path, 100)
    real = os.replace

    def crash(source, target):
        if str(target).endswith("000000000100"):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 100, value=state(2.0))
    monkeypatch.undo()
    found = checkpoint.find(tmp_path).path
    assert found is not None and checkpoint.load(found, "learner", state()).count == 7
    save(tmp_path, 100, value=state(2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["000000000100"]
    assert checkpoint.load(checkpoint.find(tmp_path).path, "learner", state()).count == 14


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_refused(tmp_path, value):
    path = save(tmp_path, value=state()._replace(history=np.array([1.0, value])))
    with pytest.raises(BadInput, match=r"learner.npz is not finite in .history"):
        checkpoint.load(path, "learner", state())


def test_sums_that_list_half_the_files_are_damage(tmp_path):
    path = save(tmp_path)
    lines = (path / "SHA256SUMS").read_text().splitlines()
    (path / "SHA256SUMS").write_text("".join(f"{line}\n" for line in lines if "meta" in line))
    assert checkpoint.find(tmp_path) == (None, ((path, "SHA256SUMS is cut short"),))


def test_right_sums_over_damaged_arrays_are_named(tmp_path):
    path = save(tmp_path)
    (path / "learner.npz").write_bytes(b"PK no archive")
    assert "learner.npz is damaged" in (checkpoint.unreadable(path) or "")
    with pytest.raises(BadInput, match=r"learner.npz is damaged"):
        checkpoint.load(path, "learner", state())


@pytest.mark.parametrize("method", learner_states.RECORDED)
def test_checkpoints_of_earlier_versions_still_fit_the_learner(method):
    recorded = json.loads(learner_states.RECORDING.read_text())
    assert learner_states.parts(method) == recorded[method]
