"""A user's own method on a user's own environment: the files of the documentation, trained, swept,
evaluated and plotted.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from benchmarks.cli import app
from benchmarks.methods import all_methods, method, own, settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import read_records
from benchmarks.suites import reading
from tests.documents import write_files

QUICK = ("--preset", "debug", "--steps", "300", "--loop.env-workers", "inline")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user, with the importable modules of the documentation."""
    assert write_files("docs/howto/own_method.md", "python", tmp_path) != []
    assert write_files("docs/howto/own_environment.md", "python", tmp_path) != []
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("my_methods", "my_envs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    own.load.cache_clear()
    yield tmp_path
    own.load.cache_clear()
    for name in ("my_methods", "my_envs"):
        sys.modules.pop(name, None)


def test_the_template_trains_evaluates_and_is_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    args = ["train", "--method", "my_methods:METHOD", "--task", "my_envs:my/Shore-v0", *QUICK]
    args += ["--price", "2"]
    assert app.main([*args, "--out", "run"]) == 0
    spec = json.loads((folder / "run" / "spec.json").read_text())["spec"]
    assert (spec["method"], spec["agent"]["price"]) == ("my_methods:METHOD", 2.0)
    frame = read_records(folder / "run")
    assert set(frame["method"]) == {"my_methods:METHOD"}
    assert set(frame["length"]) == {50}
    assert app.main([*args, "--out", "run"]) == 0  # finished: nothing to add
    assert len(read_records(folder / "run")) == len(frame)
    evaluate = ["evaluate", "run", "--episodes", "2", "--workers", "inline", "--out", "e.csv"]
    assert app.main(evaluate) == 0
    assert "my_methods:METHOD on " in capsys.readouterr().out
    from analysis.commands.interactive import draw_curves, read_results

    assert set(read_results(folder / "run")["label"]) == {"my_methods:METHOD"}
    assert len(draw_curves(folder / "run").axes) == 2


def test_a_suite_names_own_methods(folder: Path):
    (path,) = write_files("docs/howto/own_method.md", "yaml", folder)
    suite = reading.load(path)
    assert suite.blocks[0].methods == ("my_methods:METHOD",)
    path.write_text(path.read_text().replace("METHOD", "METHODD"))
    with pytest.raises(BadInput, match=r"mine.yaml:6: method 'my_methods:METHODD'.*mean METHOD"):
        reading.load(path)


@pytest.mark.slow
def test_a_sweep_of_the_template(folder: Path):
    write_files("docs/howto/own_method.md", "yaml", folder)
    sweep = ["sweep", "--suite", "mine.yaml", "--only", "seed=0", "--out", "results"]
    sweep += ["--jobs", "1", "--no-canary"]
    assert app.main(sweep) == 0
    (run,) = (folder / "results" / "runs").iterdir()
    assert run.name.startswith("my_envs-make-default-my_methods-METHOD-seed")
    assert app.main(["status", "results"]) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_methods:Config", "is a type; let it be what safedreamer_suite.own_method"),
        ("my_method:METHOD", "no module 'my_method'; run from the folder that holds it"),
        ("osrp-lag", "did you mean osrp_lag.*`safedreamer methods` lists all"),
    ],
)
def test_what_is_no_method_is_refused(folder: Path, name: str, message: str):
    with pytest.raises(BadInput, match=message):
        method(name)


@dataclasses.dataclass
class Thawed:
    price: float = 1.0


@dataclasses.dataclass(frozen=True)
class Layers:
    layers: dict = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Thawed, "must be an instance of a frozen dataclass"),
        (Thawed(), "Thawed must be frozen: add frozen=True"),
        (Layers(), "Layers.layers is a dict, which can change"),
    ],
)
def test_a_config_that_can_change_is_refused(config: object, message: str):
    with pytest.raises(BadInput, match=message):
        own.own_method(lambda config, env: None, config, summary="x")


def test_settings_of_an_own_method_may_be_negative_but_not_named_as_options(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    file = folder / "my_methods.py"
    written = file.read_text()
    assert "price: float = " in written
    args = ["train", "--method", "my_methods:METHOD", "--task", "my_envs:my/Shore-v0", *QUICK]
    assert app.main([*args, "--price", "-2", "--out", "run"]) == 0
    assert json.loads((folder / "run" / "spec.json").read_text())["spec"]["agent"]["price"] == -2.0
    assert app.main([*args, "--price", "nan", "--out", "other"]) == 2
    assert app.main([*args, "--loop.num-envs", "-2", "--out", "other"]) == 2
    file.write_text(written.replace("price: float = ", "steps: int = 3\n    price: float = "))
    sys.modules.pop("my_methods")
    own.load.cache_clear()
    capsys.readouterr()
    assert app.main([*args, "--out", "other"]) == 2
    assert "steps of its config would be --steps, which is an option" in capsys.readouterr().err


def test_presets_and_observations_of_an_own_method(folder: Path):
    found = method("my_methods:METHOD")
    assert (found.name, found.family, found.engine) == ("my_methods:METHOD", "own", "jax")
    assert settings("my_methods:METHOD", "lidar", "cpu").max_minutes == 60
    assert settings("my_methods:METHOD", "lidar", "debug").steps == 3000
    with pytest.raises(
        BadInput, match="does not support images: its observations do not name vision"
    ):
        settings("my_methods:METHOD", "vision", "debug")
    with pytest.raises(BadInput, match="instance of a frozen dataclass"):
        own.own_method(lambda config, env: None, {"units": 3}, summary="")


def test_methods_of_installed_packages_are_listed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    point = importlib.metadata.EntryPoint("priced", "my_methods:METHOD", own.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    own.installed.cache_clear()
    try:
        assert all_methods()[-1].name == "priced"
        assert method("priced").summary == "actor-critic with a price on costs"
    finally:
        monkeypatch.undo()
        own.installed.cache_clear()
