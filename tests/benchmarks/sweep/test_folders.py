"""States of the runs in a results folder, what a repeated sweep command starts, and filters.

All of it from files alone.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.methods.saved import load_spec
from benchmarks.runs import attempts
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import ATTEMPTS_FILE, SPEC_FILE, STATUS_FILE
from benchmarks.runs.folder import check
from benchmarks.sweep.filters import select
from benchmarks.sweep.members import file_clock, look_for, member, members
from benchmarks.sweep.needs import Needs
from benchmarks.sweep.plan import make_plan
from benchmarks.sweep.prepare import drop, prepare, still_wanted
from benchmarks.sweep.preview import preview
from benchmarks.sweep.rates import Rates
from tests.sweep_folders import entries, stand, submit, suite


def plan_of(out: Path, wanted):
    return make_plan(wanted.name, entries(wanted), look_for(out).members)


@pytest.fixture
def folders(tmp_path):
    return submit(tmp_path, suite())


def test_a_run_folder_is_the_frozen_spec_that_training_accepts(tmp_path, folders):
    found = members(tmp_path)
    assert [m.folder for m in found] == sorted(folders)
    for entry, folder in zip(entries(suite()), folders, strict=True):
        assert load_spec(folder) == entry.spec
        check(entry.spec, folder)
        assert folder.name.endswith(entry.spec.run_id)
    assert {(m.state, m.suites, m.tags) for m in found} == {("waiting", ("mine",), ("toy",))}


def test_where_a_run_stands(folders):
    folder = folders[0]

    def state():
        return member(folder).state

    stand(folder, "train", env_steps=50)
    assert state() == "running"
    stand(folder, "train", silent_seconds=100, env_steps=50)
    attempts.add(folder, "started")  # a process before its first heartbeat
    assert state() == "waiting"
    stand(folder, "stopped", env_steps=50)
    assert state() == "waiting"
    stand(folder, "failed", last_error="the gears are stuck")
    attempts.add(folder, "started")
    assert (state(), member(folder).reason()) == ("waiting", "")
    attempts.add(folder, "ended", exit=1, failed=True, reason="exit status 1")
    assert (state(), member(folder).reason()) == ("failed", "the gears are stuck")
    attempts.add(folder, "submitted")
    assert state() == "waiting"
    stand(folder, "finished", env_steps=600)
    assert state() == "done"
    stand(folder, "finished", env_steps=599)
    assert state() == "waiting"


def test_silence_without_a_last_word_is_stale(tmp_path, folders):
    for folder in folders[:2]:
        (folder / ATTEMPTS_FILE).unlink()
    stand(folders[0], "train", silent_seconds=100)
    stand(folders[1], "failed", silent_seconds=100, last_error="no")
    first, second = (member(folder) for folder in folders[:2])
    assert (first.state, second.state) == ("stale", "failed")
    assert "no heartbeat from process" in first.reason()


def test_a_killed_process_is_known_at_once_by_who_started_it(folders):
    stand(folders[0], "train", env_steps=50)
    attempts.add(folders[0], "ended", exit=-9, failed=True, reason="killed by SIGKILL")
    assert (member(folders[0]).state, member(folders[0]).reason()) == (
        "failed",
        "killed by SIGKILL",
    )
    attempts.add(folders[0], "submitted")  # at once, while the heartbeat still looks fresh
    assert member(folders[0]).state == "waiting"


@pytest.mark.parametrize("ahead_seconds", [-7200, 7200])
@pytest.mark.parametrize("whose", ["ours", "the run's", "the file system's"])
def test_clocks_that_differ_change_nothing(folders, monkeypatch, whose, ahead_seconds):
    for folder, silent_seconds in zip(folders, (5, 100), strict=False):
        stand(folder, "train", silent_seconds=silent_seconds, env_steps=50)
        status = json.loads((folder / STATUS_FILE).read_text())
        dated = (folder / STATUS_FILE).stat().st_mtime
        if whose == "the run's":
            said = datetime.fromisoformat(status["heartbeat"]) + timedelta(seconds=ahead_seconds)
            (folder / STATUS_FILE).write_text(json.dumps(status | {"heartbeat": said.isoformat()}))
        elif whose == "the file system's":
            dated += ahead_seconds
        os.utime(folder / STATUS_FILE, (dated, dated))
        if silent_seconds > 60:
            os.utime(folder / ATTEMPTS_FILE, (dated - 1, dated - 1))
    if whose == "ours":
        now = time.time()
        monkeypatch.setattr("benchmarks.sweep.members.time.time", lambda: now + ahead_seconds)
    elif whose == "the file system's":
        monkeypatch.setattr(
            "benchmarks.sweep.members.file_clock", lambda folder: file_clock(folder) + ahead_seconds
        )
    assert [member(folder).state for folder in folders[:2]] == ["running", "stale"]
    seen = {each.folder: each.state for each in members(folders[0].parents[1])}
    assert [seen[folder] for folder in folders[:2]] == ["running", "stale"]


def test_where_nothing_can_be_written_our_clock_has_to_do(tmp_path):
    assert abs(file_clock(tmp_path) - time.time()) < 5 and list(tmp_path.iterdir()) == []
    assert abs(file_clock(Path("/proc")) - time.time()) < 5


def test_one_probe_is_enough_for_a_scan(tmp_path, folders, monkeypatch):
    probed = []
    monkeypatch.setattr(
        "benchmarks.sweep.members.file_clock", lambda folder: probed.append(folder) or 0.0
    )
    members(tmp_path)
    assert probed == [tmp_path / "runs"]


def test_a_cancelled_run_stays_cancelled_until_asked_for(folders):
    attempts.add(folders[0], "cancelled", reason="a person")
    attempts.add(folders[0], "ended", exit=75)
    assert (member(folders[0]).state, member(folders[0]).reason()) == ("cancelled", "a person")
    attempts.add(folders[0], "submitted")
    assert member(folders[0]).state == "waiting"


def test_a_run_cancelled_since_the_plan_is_not_asked_for_again(tmp_path, folders):
    plan = plan_of(tmp_path, suite())
    attempts.add(folders[1], "cancelled")
    kept = still_wanted(plan)
    assert [start.member.folder for start in kept.start] == [folders[0], *folders[2:]]
    prepare(tmp_path, suite(), kept)
    assert [attempts.is_cancelled(folder) for folder in folders[:3]] == [False, True, False]


def test_failures_are_counted_since_the_run_was_asked_for(folders):
    for _ in range(2):
        attempts.add(folders[0], "ended", exit=1, failed=True)
    attempts.add(folders[0], "ended", exit=75)
    assert attempts.failures(attempts.read(folders[0])) == 2
    attempts.add(folders[0], "submitted")
    assert attempts.failures(attempts.read(folders[0])) == 0


def test_a_repeated_command_starts_what_is_missing_failed_or_stale(tmp_path, folders):
    stand(folders[0], "finished", env_steps=600)
    stand(folders[1], "train")
    stand(folders[2], "failed")
    (folders[2] / ATTEMPTS_FILE).unlink()
    stand(folders[3], "train", silent_seconds=100)
    (folders[3] / ATTEMPTS_FILE).unlink()
    stand(folders[4], "stopped", env_steps=60)
    attempts.add(folders[5], "cancelled")
    plan = plan_of(tmp_path, suite("0, 1, 2, 7"))
    why = {start.entry.folder_name: start.why for start in plan.start}
    assert [why.get(folder.name) for folder in folders] == [
        None,
        None,
        "failed",
        "stale",
        "continues",
        None,
    ]
    assert plan.counts() == {
        "new": 2,
        "failed": 1,
        "stale": 1,
        "continues": 1,
        "running": 1,
        "done": 1,
        "cancelled": 1,
    }


def test_a_copy_of_a_run_is_refused_with_both_names(tmp_path, folders):
    copy = folders[0].with_name(f"{folders[0].name}-backup")
    shutil.copytree(folders[0], copy)
    stand(copy, "finished", env_steps=600)
    with pytest.raises(BadInput, match=f"{folders[0]} and {copy} hold the same run: move the copy"):
        plan_of(tmp_path, suite())
    assert plan_of(tmp_path, suite("1")).counts() == {"waiting": 2}  # not of this suite
    copy.rename(tmp_path / copy.name)
    assert plan_of(tmp_path, suite()).counts() == {"waiting": 6}


def test_a_finished_run_grows(tmp_path, folders):
    for folder in folders:
        stand(folder, "finished", env_steps=600)
    assert plan_of(tmp_path, suite()).counts() == {"done": 6}
    assert plan_of(tmp_path, suite(steps="300")).counts() == {"done": 6}
    longer = suite("0", steps="1200")
    assert plan_of(tmp_path, longer).counts() == {"longer": 2}
    assert submit(tmp_path, longer) == [folders[0], folders[3]]
    assert (load_spec(folders[0]).steps, member(folders[0]).state) == (1200, "waiting")
    assert len(members(tmp_path)) == 6


@pytest.mark.parametrize("state", ["stopped", "failed", "out_of_time"])
def test_a_run_beyond_a_lower_budget_keeps_its_spec_and_is_named(tmp_path, folders, state):
    stand(folders[0], state, env_steps=450)
    before = (folders[0] / SPEC_FILE).read_bytes()
    lower = suite("0", steps="300")
    plan = plan_of(tmp_path, lower)
    assert plan.counts() == {"waiting": 1, "beyond": 1} and plan.beyond[0].folder == folders[0]
    assert submit(tmp_path, lower) == [folders[3]]
    assert (folders[0] / SPEC_FILE).read_bytes() == before
    needs = {entry.spec.run_id: Needs(1, 1) for entry in entries(lower)}
    (line,) = (
        x
        for x in preview(lower, entries(lower), plan, Rates([]), needs, tmp_path)
        if "beyond those" in x
    )
    assert "at 450 of 600 simulator steps" in line and "give it steps: 600" in line
    assert folders[0].name in line
    for steps in ("450", "500", "600", "900"):  # not passed yet, or as before
        assert not plan_of(tmp_path, suite("0", steps=steps)).beyond
    stand(folders[0], state, env_steps=602)  # it passed its budget with its last step
    assert not plan_of(tmp_path, suite("0")).beyond


def test_starts_survive_a_new_budget(tmp_path, folders):
    data = json.loads((folders[0] / SPEC_FILE).read_text())
    (folders[0] / SPEC_FILE).write_text(json.dumps(data | {"starts": [{"git": "abc"}]}))
    submit(tmp_path, suite(steps="900"))
    assert json.loads((folders[0] / SPEC_FILE).read_text())["starts"] == [{"git": "abc"}]


def test_what_left_the_suite_is_listed_and_cancelled_once_no_suite_asks_for_it(tmp_path, folders):
    stand(folders[0], "finished", env_steps=600)
    submit(tmp_path, suite("1", name="other"))  # the runs of seed 1 are in both
    plan = plan_of(tmp_path, suite("2"))
    assert {m.folder for m in plan.left} == {folders[0], folders[1], folders[3], folders[4]}
    assert set(drop(plan, "mine")) == {folders[3]}
    assert [member(f).state for f in folders] == [
        "done",
        "waiting",
        "waiting",
        "cancelled",
        "waiting",
        "waiting",
    ]
    assert plan_of(tmp_path, suite("2")).left == []
    assert member(folders[1]).suites == ("other",)


def test_filters(tmp_path, folders):
    found = members(tmp_path)
    stand(folders[0], "train")
    assert len(select(found, [])) == 6
    assert {m.label for m in select(found, ["method=osrp*", "!seed=0"])} == {"osrp"}
    assert (
        len(select(found, ["method=osrp*", "!seed=0", "task=*shore", "tag=toy", "suite=m*"])) == 2
    )
    assert [m.folder for m in select(members(tmp_path), ["state=running"])] == [folders[0]]
    assert [m.folder for m in select(found, [found[3].run_id[:6]])] == [found[3].folder]
    assert len(select(found, ["*-seed1-*"])) == 2 and len(select(found, ["!*-seed1-*"])) == 4
    with pytest.raises(BadInput, match="unknown field to filter by 'metod'; did you mean method"):
        select(found, ["metod=osrp"])
    with pytest.raises(BadInput, match=r"no run matches seed=9$"):
        select(found, ["seed=9"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!seed =0", "unknown field to filter by 'seed '; did you mean seed"),
        ("!planner.horizon=5", "unknown field to filter by 'planner.horizon'"),
        ("!state=runing", "!state=runing excludes nothing: no run has state=runing"),
        ("!no-such-run", "!no-such-run excludes nothing"),
        ("seed=0 seed=1", r"no run matches seed=0 seed=1; .* a pattern, such as seed=\[01\]"),
    ],
)
def test_a_mistyped_filter_never_selects_everything(tmp_path, folders, text, said):
    words = [text] if text.startswith("!") else text.split()
    with pytest.raises(BadInput, match=said):
        select(members(tmp_path), words)


def test_folders_that_are_no_sweep_are_named(tmp_path, folders):
    with pytest.raises(BadInput, match="no folder"):
        members(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no runs"):
        members(tmp_path / "empty")
    assert [m.folder for m in members(folders[0])] == [folders[0]]  # a run folder is a sweep of one
    (folders[0] / SPEC_FILE).write_text("{")
    with pytest.raises(BadInput, match=r"spec.json is damaged \(line 1: it is not valid JSON"):
        members(tmp_path)
    (folders[0] / SPEC_FILE).write_text("{}")
    with pytest.raises(BadInput, match=r"spec.json is damaged \(it lacks run_id\)"):
        members(tmp_path)


def test_a_torn_row_of_attempts_is_left_out(folders):
    with (folders[0] / ATTEMPTS_FILE).open("a") as file:
        file.write('{"time": "2026')
    assert [event.event for event in attempts.read(folders[0])] == ["submitted"]


def test_an_unreadable_status_is_named(tmp_path, folders):
    (folders[0] / STATUS_FILE).write_text("{}")
    with pytest.raises(BadInput, match=r"status.json is damaged \(it lacks run_id\)"):
        members(tmp_path)
