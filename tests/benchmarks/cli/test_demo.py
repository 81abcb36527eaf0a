"""`safedreamer demo`: two runs side by side, and what is printed about them."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import analysis, demo, demo_runs
from benchmarks.cli.demo_runs import cells, clear, demo_specs, train_side_by_side
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.ownership import own
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.spec_file import write_spec
from benchmarks.runs.status import read_status
from benchmarks.zoo import entry
from tests.specs import spec_of


def test_the_demo_compares_a_safe_and_an_unsafe_agent_on_equal_terms():
    safe, unsafe = demo_specs(seed=7, minutes=3.0)
    assert (safe.method, unsafe.method) == ("bsrp_lag", "dreamerv3")
    assert safe.agent.model.cost_source == "head"  # learned from the signal
    for same in ("task", "obs", "steps", "loop", "replay", "seed", "max_minutes"):
        assert getattr(safe, same) == getattr(unsafe, same)
    assert (safe.seed, safe.max_minutes) == (7, 3.0)


def write_run(folder, spec):
    folder.mkdir(parents=True)
    write_spec(folder, spec, [])


def test_an_earlier_demo_is_replaced_and_nothing_else(tmp_path):
    specs = demo_specs(seed=1, minutes=3.0)
    clear(tmp_path, specs)  # nothing there yet
    for spec in demo_specs(seed=0, minutes=5.0):
        write_run(tmp_path / "runs" / spec.method, spec)
    (tmp_path / "report.html").write_text("kept")
    clear(tmp_path, specs)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    (tmp_path / "runs" / "thesis").mkdir(parents=True)
    with pytest.raises(BadInput, match="holds thesis, which no demo wrote"):
        clear(tmp_path, specs)
    assert (tmp_path / "runs" / "thesis").is_dir()


@pytest.mark.parametrize("change", [{"steps": 777, "max_minutes": None}, {"cost_limit": 7.0}])
def test_a_run_of_the_user_with_a_name_of_the_demo_is_kept(tmp_path, change):
    specs = demo_specs(seed=0, minutes=3.0)
    mine = specs[0]
    if "cost_limit" in change:
        mine = dataclasses.replace(mine, agent=dataclasses.replace(mine.agent, **change))
    else:
        mine = dataclasses.replace(mine, **change)
    write_run(tmp_path / "runs" / mine.method, mine)
    with pytest.raises(BadInput, match="holds bsrp_lag, which no demo wrote"):
        clear(tmp_path, specs)
    assert (tmp_path / "runs" / mine.method / "spec.json").is_file()


def test_a_demo_that_still_trains_is_not_replaced(tmp_path):
    specs = demo_specs(seed=0, minutes=3.0)
    folders = [tmp_path / "runs" / spec.method for spec in specs]
    for folder, spec in zip(folders, specs, strict=True):
        write_run(folder, spec)
    with own(folders[1]), pytest.raises(BadInput, match=r"in use: process \d+ .*another --out"):
        clear(tmp_path, specs)
    assert all((folder / "spec.json").is_file() for folder in folders)


def test_a_second_demo_in_the_folder_is_refused_from_the_first_second(tmp_path, monkeypatch):
    spec = tmp_path / "runs" / "bsrp_lag" / "spec.json"

    def started(specs: list[RunSpec], runs: Path) -> None:
        """As before any process of the runs owns its folder."""
        write_run(runs / specs[0].method, specs[0])
        with pytest.raises(BadInput, match=r"in use: process \d+ .*another --out"):
            demo.main(["--out", str(tmp_path)])
        assert spec.is_file()

    monkeypatch.setattr(demo_runs, "train_side_by_side", started)
    monkeypatch.setattr(demo, "film", lambda _: None)
    monkeypatch.setattr(demo, "play_zoo", lambda *_: None)
    monkeypatch.setattr(analysis, "run", lambda *_: 0)
    assert demo.main(["--out", str(tmp_path)]) == 0 and spec.is_file()
    assert demo.main(["--out", str(tmp_path)]) == 0  # the first one has ended


@pytest.mark.parametrize("linked", ["runs", "runs/bsrp_lag"])
def test_a_demo_does_not_follow_links(tmp_path, linked):
    specs = demo_specs(seed=0, minutes=3.0)
    write_run(tmp_path / "real" / "runs" / "bsrp_lag", specs[0])
    link = tmp_path / "out" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "real" / linked)
    with pytest.raises(BadInput, match="which no demo wrote: choose another --out"):
        clear(tmp_path / "out", specs)
    assert (tmp_path / "real" / "runs" / "bsrp_lag" / "spec.json").is_file()


def test_sigterm_ends_both_trainings(tmp_path, monkeypatch):
    """The processes sleep instead of training."""
    real, children = subprocess.Popen, []

    def sleeping(_: list[str], **options: Any) -> subprocess.Popen[bytes]:
        children.append(real(["sleep", "60"], **options))
        if len(children) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", sleeping)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as stopped:
            train_side_by_side([spec_of(name) for name in ("sac", "sac_lag")], tmp_path)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # as before
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.code == 143
    assert [child.returncode for child in children] == [-signal.SIGTERM] * 2


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_its_log(tmp_path):
    spec = dataclasses.replace(spec_of("bsrp_lag"), task="tests.fakes.nowhere:make")
    with pytest.raises(RunFailed, match=r"(?s)bsrp_lag failed \(exit status 2\).*nowhere.*log"):
        train_side_by_side([spec], tmp_path)


@pytest.mark.slow
def test_runs_train_side_by_side_and_are_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo_runs, "LINE_SECONDS", 0.5)
    monkeypatch.setattr(demo_runs, "POLL_SECONDS", 0.1)
    specs = [spec_of(method, steps=300) for method in ("sac", "sac_lag")]
    train_side_by_side(specs, tmp_path)
    said = capsys.readouterr().out
    assert "sac: starting: compiles\n" in said
    for spec in specs:
        status = read_status(tmp_path / spec.method)
        assert (status.state, status.env_steps) == ("finished", 300)
        shown = cells(spec, status)
        assert shown[:2] == (spec.method, "300")
        assert shown[4] == f"{status.eval_return:.1f} at {status.eval_cost:.1f}"


def test_the_zoo_is_played_as_far_as_it_has_the_demos_methods(tmp_path, capsys, monkeypatch):
    played = []

    class Child:
        returncode = 0

        def communicate(self):
            return (
                "some progress\n    mean     37.2      0.0\n0 of 10 episodes had any cost\n",
                None,
            )

    def start(policy: str, episodes: int, *options: str) -> Child:
        played.append((policy, episodes, options))
        return Child()

    monkeypatch.setattr(demo, "_evaluation", start)
    monkeypatch.setattr(entry, "names", lambda: ["bsrp_lag/PointCircle1/0", "osrp/Other/0"])
    demo.play_zoo(["bsrp_lag", "dreamerv3"], "SafetyPointCircle1-v0", tmp_path)
    file = tmp_path / "zoo-bsrp_lag-PointCircle1-0.csv"
    assert played == [("zoo:bsrp_lag/PointCircle1/0", 10, ("--out", str(file)))]
    said = capsys.readouterr().out
    assert said == "zoo:bsrp_lag/PointCircle1/0, 10 unseen layouts: return 37.2, cost 0.0\n"
