"""`safedreamer publish`: which runs are evaluated, and what is written if some cannot be."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import pytest

from benchmarks.cli import analysis, publish
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.files import FINAL_FILE, SPEC_FILE, WANTED_FILE
from benchmarks.suites.reading import load
from benchmarks.sweep.members import Member
from tests.sweep_folders import stand, submit, suite


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Finished runs without checkpoints; nothing is drawn."""
    folders = submit(tmp_path, suite(seeds="0"))
    for folder in folders:
        stand(folder, "finished", env_steps=600)
    monkeypatch.setattr(analysis, "run", lambda *_: 0)
    return folders


def test_a_run_that_fails_is_named_and_the_others_are_published(
    done: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    published = []

    def final_evaluation(member: Member, episodes: int) -> bool:
        if member.folder == done[0]:
            raise RunFailed("every environment crashed")
        return True

    monkeypatch.setattr(publish, "final_evaluation", final_evaluation)
    monkeypatch.setattr(publish, "publish_policy", lambda m: published.append(m.folder))
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / SPEC_FILE).write_text("{")
    assert publish.main([str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"{done[0].name}: every environment crashed" in said
    assert f"{broken / SPEC_FILE} is damaged" in said
    assert published == done[1:]


def test_a_file_that_holds_no_records_is_an_error_of_its_run(
    done: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr("benchmarks.methods.saved.newest", lambda _: (None, Path(), 600, 150))
    for folder in done:
        (folder / "checkpoints" / "000000000600").mkdir(parents=True)
        (folder / FINAL_FILE).write_text("a,b\n")
    assert publish.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("is not a file of episode records") == len(done)


def test_a_suite_that_is_unknown_leaves_the_wanted_runs_alone(done: list[Path], tmp_path: Path):
    (tmp_path / WANTED_FILE).write_text("as before")
    with pytest.raises(BadInput, match=r"unknown suite .*'corr5'.*core5"):
        publish.main([str(tmp_path), "--suites", "demo", "corr5"])
    assert (tmp_path / WANTED_FILE).read_text() == "as before"
    assert publish.main([str(tmp_path), "--suites", "demo", "--records-only"]) == 0
    assert (tmp_path / WANTED_FILE).read_text().startswith("run_id,")


def test_a_full_disk_leaves_the_wanted_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / WANTED_FILE).write_text("as before")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        publish.write_wanted([load("demo")], tmp_path / WANTED_FILE)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["as before"]


def test_a_run_of_two_suites_is_wanted_once_under_the_name_of_the_first(tmp_path: Path):
    one = {"methods": ["bsrp_lag"], "tasks": ["SafetyPointGoal1-v0"]}
    plain, named = (
        {"preset": "debug", "obs": "lidar", "steps": 400, "seeds": seeds, "runs": [one | runs]}
        for seeds, runs in (([0, 1], {}), ([1, 2], {"variants": {"actor, augmented": {}}}))
    )
    files = [tmp_path / "plain.yaml", tmp_path / "named.yaml"]
    for file, content in zip(files, (plain, named), strict=True):
        file.write_text(json.dumps(content))
    publish.write_wanted([load(file) for file in files], tmp_path / WANTED_FILE)
    with (tmp_path / WANTED_FILE).open(newline="") as rows:
        wanted = [(row["seed"], row["variant"]) for row in csv.DictReader(rows)]
    assert wanted == [("0", ""), ("1", ""), ("2", "actor, augmented")]
