"""Checkpoints: every leaf comes back, wrong ones are refused by name, a crash leaves the one before."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import checkpoint
from benchmarks.spec import BadInput


class State(NamedTuple):
    params: dict
    count: jax.Array
    history: np.ndarray
    nothing: None
    plain: float


def state(scale: float = 1.0) -> State:
    params = {"half": jnp.array([0.1, 1e30], jnp.bfloat16) * scale, "list": [jnp.arange(6.0).reshape(2, 3) * scale]}
    return State(params, jnp.int32(7 * scale), np.array([1.5, 2.5]) * scale, None, 0.25 * scale)


def save(folder, env_steps=100, run_id="abc", value=None):
    return checkpoint.save(
        folder, env_steps, state() if value is None else value, {"run_id": run_id, "counters": {"updates": 3}}
    )


def test_every_leaf_comes_back_with_its_type(tmp_path):
    path = save(tmp_path)
    loaded = checkpoint.load_state(path, state(0.0))
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
    with pytest.raises(BadInput, match=r"saved .history is float64\[2\], the agent's is float64\[3\]"):
        checkpoint.load_state(path, wider)
    with pytest.raises(BadInput, match=r"saved .count is int32\[\], the agent's is float32\[\]"):
        checkpoint.load_state(path, state()._replace(count=jnp.float32(0)))
    with pytest.raises(BadInput, match=r"more'\] is in only one of them"):
        checkpoint.load_state(path, state()._replace(params={**state().params, "more": jnp.zeros(2)}))


def test_the_newest_two_are_kept(tmp_path):
    for env_steps in (900, 1_000, 20_000):
        save(tmp_path, env_steps)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000000001000", "000000020000"]
    assert checkpoint.latest(tmp_path) == tmp_path / "000000020000"


def test_none_before_the_first(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "absent") is None


def test_a_crash_while_saving_leaves_the_one_before(tmp_path, monkeypatch):
    save(tmp_path, 100)

    def crash(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.json, "dumps", crash)
    with pytest.raises(OSError, match="disk full"):
        save(tmp_path, 200)
    monkeypatch.undo()
    newest = checkpoint.latest(tmp_path)
    assert newest == tmp_path / "000000000100"
    assert checkpoint.load_state(newest, state(0.0)).count == 7
    assert save(tmp_path, 200).name == "000000000200"  # what the crash left behind is no obstacle
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000100", "000000000200"]


def test_saving_again_at_the_same_step_replaces(tmp_path):
    save(tmp_path, 100)
    save(tmp_path, 100, value=state(2.0))
    assert checkpoint.load_state(tmp_path / "000000000100", state()).count == 14


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    path = save(tmp_path)
    (path / checkpoint.META).unlink()
    with pytest.raises(BadInput, match="delete this folder to continue from the checkpoint before it"):
        checkpoint.read_meta(path, "abc")


def test_loading_runs_no_code_from_the_file(tmp_path):
    path = save(tmp_path)
    arrays = dict(np.load(path / checkpoint.STATE))
    arrays[".history"] = np.array([print], dtype=object)
    np.savez(path / checkpoint.STATE, **arrays)
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint.load_state(path, state())


def test_typed_keys_have_no_place_in_a_state(tmp_path):
    with pytest.raises(TypeError, match=r"PRNG key at .*key"):
        save(tmp_path, value={"key": jax.random.key(0)})
