"""Canaries: short runs in their own folder, before the rest.

Also sweeps of a part of a suite.
"""

from __future__ import annotations

import pytest

from benchmarks.cli import app
from benchmarks.runs.errors import BadInput
from benchmarks.suites.reading import parse
from benchmarks.sweep.canary import LEARNING_AGENT_STEPS, canaries
from benchmarks.sweep.filters import select_entries
from benchmarks.sweep.members import look_for, members
from benchmarks.sweep.needs import Needs
from slurm import debug, jobs
from tests.sweep_folders import entries, stand, suite

SUITE = """\
preset: debug
steps: 5000
seeds: [0, 1]
runs:
  - methods: [osrp, dreamerv3]
    tasks: ['tests.fakes.toys:shore']
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def trained(monkeypatch):
    """Folders that a debug sweep trained, in order; `fails` names a method that fails."""

    class Trained(list):
        fails = ""

    done = Trained()

    def run(folder):
        done.append(folder)
        failed = bool(done.fails) and done.fails in folder.name
        stand(
            folder,
            "failed" if failed else "finished",
            env_steps=0 if failed else 5000,
            last_error="no" if failed else None,
        )
        return 2 if failed else 0

    monkeypatch.setattr(debug.DebugExecutor.__init__, "__defaults__", (run,))
    return done


def sweep(file, tmp_path, *more):
    return app.main(
        ["sweep", "--suite", str(file), "--out", str(tmp_path / "out"), "--cluster", "debug", *more]
    )


def test_a_canary_is_the_first_run_of_its_kind_made_short():
    found = entries(suite(steps="1e6"))
    chosen = canaries(found)
    assert list(chosen) == ["osrp", "dreamerv3"]
    for canary in chosen.values():
        loop = canary.spec.loop
        assert (
            canary.spec.steps == (loop.prefill + LEARNING_AGENT_STEPS) * loop.action_repeat
            and canary.spec.seed == 0
        )
    assert canaries(entries(suite(steps="50")))["osrp"].spec.steps == 50


def test_the_rest_starts_after_its_canary(file, tmp_path, trained):
    assert sweep(file, tmp_path, "--canary") == 0
    assert [folder.parents[1].name for folder in trained] == [
        "canary",
        "canary",
        "out",
        "out",
        "out",
        "out",
    ]
    assert len(members(tmp_path / "out")) == 4 and all(
        m.state == "done" for m in members(tmp_path / "out")
    )
    trained.clear()
    assert sweep(file, tmp_path, "--canary") == 0 and trained == []


def test_a_canary_is_followed_under_a_new_name(tmp_path):
    text = SUITE + "    variants: {{{}: {{cost_limit: 3}}}}"
    old, new = (parse(text.format(name), "mine", "mine.yaml") for name in ("old", "new"))

    def start(of):
        return jobs._canaries(of, tmp_path, entries(of)[:1], tmp_path, lambda _: Needs(0, 0))

    (started,) = start(old).values()
    stand(started.folder, "train", env_steps=10)
    assert {name: job.folder for name, job in start(new).items()} == {"osrp [new]": started.folder}


@pytest.mark.slow
def test_what_a_failed_canary_stands_for_is_not_started(file, tmp_path, trained, capsys):
    trained.fails = "osrp"
    assert sweep(file, tmp_path, "--canary") == 1
    assert "is not done: what comes after it is not started" in capsys.readouterr().out
    standings = {member.spec["method"]: member.state for member in members(tmp_path / "out")}
    assert standings == {"osrp": "waiting", "dreamerv3": "done"}
    trained.fails = ""
    assert sweep(file, tmp_path, "--canary") == 0
    assert {member.state for member in members(tmp_path / "out")} == {"done"}


def test_a_part_of_a_suite(file, tmp_path, trained):
    assert sweep(file, tmp_path, "--only", "method=osrp", "!seed=0") == 0
    (only,) = members(tmp_path / "out")
    assert (only.spec["method"], only.spec["seed"]) == ("osrp", 1)
    assert sweep(file, tmp_path) == 0 and len(members(tmp_path / "out")) == 4


def test_parts_that_make_no_sense(file, tmp_path, capsys):
    with pytest.raises(BadInput, match="unknown field to filter by 'state'"):
        select_entries(entries(suite()), ["state=done"])
    assert sweep(file, tmp_path, "--only", "method=ppo") == 2
    assert "no run matches method=ppo" in capsys.readouterr().err
    assert sweep(file, tmp_path, "--only", "seed=0", "--sync") == 2
    assert "--sync compares the whole suite" in capsys.readouterr().err
    assert sweep(file, tmp_path, "--detach") == 2
    assert "go with --cluster slurm" in capsys.readouterr().err
    on_slurm = ["sweep", "--suite", str(file), "--cluster", "slurm", "--memory-gb", "8"]
    assert app.main(on_slurm) == 2
    assert "--slurm memory_gb=8, or leave it out" in capsys.readouterr().err
    assert sweep(file, tmp_path, "--jobs", "2") == 2
    assert "one after another: leave out --jobs" in capsys.readouterr().err
    assert look_for(tmp_path / "out").members == []


def test_no_slurm_on_the_machine_is_said_before_anything_is_written(
    file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        app.main(
            ["sweep", "--suite", str(file), "--out", str(tmp_path / "out"), "--cluster", "slurm"]
        )
        == 2
    )
    assert "no sbatch" in (said := capsys.readouterr().err) and "--cluster local" in said
    assert not (tmp_path / "out").exists()
