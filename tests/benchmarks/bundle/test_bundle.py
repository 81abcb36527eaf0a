"""The bundle for machines without internet: what it must hold, checked without building it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.bundle.__main__ import LEARNER, ROOT, SUITE, clear, copy_suite, pins, write
from benchmarks.runs.errors import BadInput

ENVS = (ROOT / "requirements" / "envs.txt").read_text().split()


def names(lock: list[str]) -> set[str]:
    return {line.partition("==")[0] for line in lock}


def test_environments_are_pinned_as_in_the_lock_file():
    assert set(ENVS) <= set((ROOT / "requirements" / "base.txt").read_text().split())


def test_environments_import_nothing_but_their_pins():
    text = """
import json, sys, numpy as np
from importlib.metadata import packages_distributions
from benchmarks.envs.server import Server
for task, obs in (("SafetyCarButton1-v0", "coordinates"), ("SafetyHopperVelocity-v1", "lidar")):
    server = Server()
    facts = server.answer(("make", {"task": task, "obs": obs}))
    server.answer(("reset", 0))
    server.answer(("step", np.zeros(facts["action_dim"])))
    server.close()
modules = {name.partition(".")[0] for name in sys.modules}
owners = packages_distributions()
print(json.dumps(sorted({d.lower().replace("_", "-") for m in modules for d in owners.get(m, ())})))
"""
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=300, check=True
    )
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"numpy", "mujoco", "safety-gymnasium"} <= imported
    ours = {"setuptools", "safedreamer-suite"}
    assert imported - names(ENVS) - ours == set()


def test_the_suite_is_complete(tmp_path: Path):
    copy_suite(tmp_path)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for pattern in packages["packages"]["find"]["include"]:
        name, roots = pattern.partition(".")[0], packages["packages"]["find"]["where"]
        assert any((tmp_path / root / name / "__init__.py").is_file() for root in roots)
    assert (tmp_path / "benchmarks" / "envs" / "server.py").is_file()
    assert not (tmp_path / "tests").exists()
    assert {path.name for path in tmp_path.iterdir()} == set(SUITE)


def test_packages_of_the_command_line_are_pinned_where_a_lock_has_them():
    assert all("==" in pin for pin in pins(LEARNER) if not pin.startswith("typeguard"))
    assert pins(("unknown-package",)) == ["unknown-package"]


def test_only_an_earlier_bundle_is_replaced(tmp_path: Path):
    clear(tmp_path / "nowhere")
    bundle, thesis = tmp_path / "bundle", tmp_path / "thesis"
    (bundle / "unpacked" / "suite").mkdir(parents=True)
    for name in ("run", "bundle.tar.xz"):
        (bundle / name).write_text("")
    clear(bundle)
    assert not bundle.exists()
    thesis.mkdir()
    for name in ("run", "chapter.tex"):
        (thesis / name).write_text("years of work")
    with pytest.raises(BadInput, match=r"holds chapter\.tex, no part of a bundle"):
        write(thesis)
    assert sorted(path.name for path in thesis.iterdir()) == ["chapter.tex", "run"]


def test_its_scripts_are_valid_shell():
    for script in ("run.sh", "python3.11.sh"):
        path = ROOT / "benchmarks" / "bundle" / script
        subprocess.run(["bash", "-n", str(path)], check=True)
