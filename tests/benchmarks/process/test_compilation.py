"""The cache of compiled functions: where it is, its bound, and what turns it off."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.process import compilation
from benchmarks.process.compilation import SWITCH, keep_compiled, prune
from tests.tree import ROOT

NAMES = (
    SWITCH,
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """An environment without any of the variables, restored at the end."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_it_lies_in_the_users_cache_by_version_and_processor(tmp_path, monkeypatch):
    folder = keep_compiled()
    assert folder is not None and folder.is_dir()
    assert folder.parent == tmp_path / "cache" / "safedreamer" / "compiled"
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setattr(compilation, "_processor", lambda: "x86_64-another")
    assert keep_compiled() not in (None, folder)


def test_it_can_be_moved_and_turned_off_and_jaxs_own_setting_wins(tmp_path, monkeypatch):
    monkeypatch.setenv(SWITCH, str(tmp_path / "mine"))
    moved = keep_compiled()
    assert moved is not None and moved.parent == tmp_path / "mine"
    assert keep_compiled() is None  # JAX_COMPILATION_CACHE_DIR is set now
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv(SWITCH, "0")
    assert keep_compiled() is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_a_place_that_cannot_be_written_is_done_without(monkeypatch):
    monkeypatch.setenv(SWITCH, "/proc/nowhere")
    assert keep_compiled() is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ


def test_the_oldest_go_first_until_the_bound_holds(tmp_path):
    for age, name in enumerate(("new", "old", "older")):
        (tmp_path / "a").mkdir(exist_ok=True)
        path = tmp_path / "a" / name
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    prune(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["new", "old"]
    prune(tmp_path, 1000)
    assert len(list((tmp_path / "a").iterdir())) == 2


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    """Counted by JAX's own events of cache hits and misses."""
    text = (
        "from benchmarks.process.compilation import keep_compiled; keep_compiled()\n"
        "import jax\n"
        "hits = []\n"
        "jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))\n"
        "jax.jit(lambda x: (x @ x).sum() + 1)(jax.numpy.ones((8, 8)))\n"
        "print(hits.count('/jax/compilation_cache/cache_hits'),"
        " hits.count('/jax/compilation_cache/cache_misses'))\n"
    )
    env = os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def counts() -> list[int]:
        done = subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            env=env,
            cwd=ROOT,
        )
        return [int(word) for word in done.stdout.split()]

    (hits, misses), (later_hits, later_misses) = counts(), counts()
    assert (hits, later_misses) == (0, 0) and misses == later_hits > 0
