"""`safedreamer status` and related commands, on folders as runs leave them."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from benchmarks.cli import app
from benchmarks.methods.saved import load_spec
from benchmarks.runs import attempts
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import ATTEMPTS_FILE
from benchmarks.runs.folder import check
from benchmarks.runs.records import COLUMNS, EpisodeRecord, RecordWriter
from benchmarks.sweep import overview
from benchmarks.sweep.export import export
from benchmarks.sweep.live import live
from benchmarks.sweep.members import LOG_FILE, look_for, member
from benchmarks.sweep.overview import Reached, evaluations
from benchmarks.sweep.plan import make_plan
from benchmarks.sweep.text import fitted
from tests.sweep_folders import entries, stand, submit, suite
from tests.tree import ROOT


@pytest.fixture
def folders(tmp_path):
    """Three runs of osrp, three of dreamerv3, one in every state."""
    found = submit(tmp_path, suite())
    stand(
        found[0],
        "finished",
        env_steps=600,
        eval_return=3.0,
        eval_cost=1.0,
        train_return=9.0,
        train_cost=9.0,
    )
    end = (datetime.now(UTC) + timedelta(hours=2, minutes=1)).isoformat(timespec="seconds")
    stand(
        found[1],
        "train",
        env_steps=300,
        env_steps_per_second=12.0,
        train_return=5.0,
        train_cost=2.0,
        estimated_end=end,
    )
    stand(found[3], "failed", env_steps=60, last_error="loss is NaN\nat step 60", silent_seconds=5)
    attempts.add(found[3], "ended", exit=1, failed=True, reason="exit status 1")
    stand(found[4], "train", env_steps=0, silent_seconds=100)
    (found[4] / ATTEMPTS_FILE).unlink()
    attempts.add(found[5], "cancelled", reason="by a person")
    return found


def record(folder, split, env_steps, return_, cost):
    of_run = (member(folder).run_id, "osrp", "tests.fakes.toys:shore", "default", 0)
    with RecordWriter(folder / "episodes.csv") as writer:
        writer.write(
            EpisodeRecord(*of_run, split, 0, env_steps, env_steps // 2, return_, cost, 20, 1.0)
        )


def safedreamer(capsys, *args) -> str:
    assert app.main([str(arg) for arg in args]) == 0
    return capsys.readouterr().out


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_a_line_for_each_method_and_task(tmp_path, folders, capsys):
    lines = safedreamer(capsys, "status", tmp_path).splitlines()
    assert cells(lines[0])[:9] == [
        "method",
        "task",
        "obs",
        "done",
        "running",
        "waiting",
        "failed",
        "stale",
        "cancelled",
    ]
    dreamer, osrp = cells(lines[1]), cells(lines[2])
    assert osrp[0] == "osrp" and osrp[3:] == [
        "1",
        "1",
        "1",
        "-",
        "-",
        "-",
        "50%",
        "12",
        "2h 01m",
        "4.00",
        "1.50",
    ]
    assert dreamer[0] == "dreamerv3" and dreamer[3:] == [
        "-",
        "-",
        "-",
        "1",
        "1",
        "1",
        "3%",
        "-",
        "-",
        "-",
        "-",
    ]
    assert (
        lines[-1]
        == "6 runs: 1 done, 1 running, 1 waiting, 1 failed, 1 stale, 1 cancelled; 27% of all steps"
    )


def test_failed_runs_come_with_reasons(tmp_path, folders, capsys):
    shown = safedreamer(capsys, "status", tmp_path, "--failed")
    assert [line.split()[:2] for line in shown.splitlines()[1:]] == [
        [member(folder).run_id, state]
        for state, folder in zip(("failed", "stale", "cancelled"), folders[3:], strict=True)
    ]
    assert (
        "loss is NaN at step 60" in shown
        and "no heartbeat from process" in shown
        and "by a person" in shown
    )
    assert "no run failed" in safedreamer(capsys, "status", tmp_path, "--failed", "method=osrp")


def test_a_line_for_each_run_and_filters(tmp_path, folders, capsys):
    shown = safedreamer(
        capsys, "status", tmp_path, "--runs", "method=osrp*", "!seed=0"
    ).splitlines()
    assert [cells(line)[:4] for line in shown[1:]] == [
        [member(folders[1]).run_id, "running", "300", "600"],
        [member(folders[2]).run_id, "waiting", "0", "600"],
    ]
    assert "1 runs: 1 stale" in safedreamer(capsys, "status", tmp_path, "state=stale")


def test_runs_are_compared_at_the_step_that_all_have_reached(tmp_path, folders, capsys):
    for steps, value in ((100, 1.0), (200, 2.0), (300, 3.0)):
        record(folders[0], "eval", steps, value, 0.0)
    record(folders[0], "eval", 300, 5.0, 2.0)  # a second episode of the same evaluation
    record(folders[0], "train", 290, 99.0, 99.0)
    record(folders[1], "eval", 100, 7.0, 4.0)
    record(folders[1], "eval", 250, 8.0, 6.0)
    assert evaluations(folders[0])[-1] == Reached(300, 4.0, 1.0)
    assert evaluations(folders[0])[-2] == Reached(200, 2.0, 0.0)
    lines = safedreamer(capsys, "status", tmp_path, "--equal-progress", "method=osrp").splitlines()
    assert lines[0].startswith("last evaluations up to 250 simulator steps")
    assert cells(lines[2])[3:] == ["2", "200 to 250", "5.00", "3.00"]
    assert lines[3] == f"no evaluation yet, left out: {folders[2].name} (waiting)"


def test_a_run_that_began_later_is_not_compared_earlier(folders):
    early, late = (dataclasses.replace(member(folders[i]), variant=str(i)) for i in (0, 1))
    known = {early.folder: [Reached(50, 1.0, 1.0)], late.folder: [Reached(100, 1.0, 1.0)]}
    lines = overview.compared([early, late], known)
    assert [cells(line)[-4:-2] for line in lines[2:]] == [["1", "50"], ["0", "-"]]


def test_logs_end_where_the_run_did(tmp_path, folders, capsys):
    (folders[0] / LOG_FILE).write_text("".join(f"line {n}\n" for n in range(1000)))
    shown = safedreamer(capsys, "logs", tmp_path, member(folders[0]).run_id, "--tail", 2)
    assert shown == f"==> {folders[0].name} (done)\nline 998\nline 999\n"
    assert "no log" in safedreamer(capsys, "logs", folders[1])


def test_cancel_and_retry(tmp_path, folders, capsys):
    shown = safedreamer(capsys, "cancel", tmp_path, "method=osrp")
    assert (
        f"done already: {folders[0].name}" in shown and f"cancelled: {folders[2].name}\n" in shown
    )
    # the recorded process is that of the tests, not a run
    assert "ends when the sweep that started it sees this" in shown
    assert [member(folder).state for folder in folders[:3]] == ["done", "running", "cancelled"]
    safedreamer(capsys, "retry", tmp_path)
    assert [member(folder).state for folder in folders] == ["done", "running"] + ["waiting"] * 4
    assert app.main(["retry", str(tmp_path), "method=osrp", "seed=0"]) == 2


def test_cancel_ends_a_process_of_this_machine(tmp_path, folders, capsys):
    code = "import sys, time; print('ready', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, "benchmarks.cli"], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    stand(folders[1], "train", pid=child.pid)
    assert "saves and ends" in safedreamer(capsys, "cancel", tmp_path, "method=osrp", "seed=1")
    assert child.wait(timeout=20) == -signal.SIGTERM
    child.stdout.close()


def test_clean_deletes_what_finished_runs_do_not_need_when_told_twice(tmp_path, folders, capsys):
    for folder in folders[:2]:
        for name in ("replay/segment.npz", "checkpoints/600/learner.npz"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(b"x" * 1000)
    record(folders[0], "eval", 600, 1.0, 1.0)
    assert "1.0 kB of 1 finished runs would be deleted; add --yes" in safedreamer(
        capsys, "clean", tmp_path
    )
    assert (folders[0] / "replay").is_dir()
    safedreamer(capsys, "clean", tmp_path, "--yes")
    assert (
        not (folders[0] / "replay").exists()
        and (folders[0] / "checkpoints").is_dir()
        and (folders[1] / "replay").is_dir()
    )
    assert "1.0 kB of 1 finished" in safedreamer(
        capsys, "clean", tmp_path, "--yes", "--checkpoints"
    )
    assert not (folders[0] / "checkpoints").exists() and (folders[0] / "episodes.csv").is_file()
    assert member(folders[0]).state == "done"
    assert app.main(["clean", str(tmp_path), "state=running"]) == 2


def test_a_cleaned_run_is_not_started_over(tmp_path, folders, capsys):
    (folders[0] / "replay").mkdir()
    (folders[0] / "replay/segment.npz").write_bytes(b"x")
    safedreamer(capsys, "clean", tmp_path, "--yes")
    longer = suite("0", steps="1200")
    plan = make_plan("mine", entries(longer), look_for(tmp_path).members)
    assert [m.folder for m in plan.cleaned] == [folders[0]] and [
        s.member.folder for s in plan.start
    ] == [folders[3]]
    with pytest.raises(BadInput, match="was cleaned"):
        check(load_spec(folders[0]), folders[0])
    assert "finished already" in safedreamer(capsys, "run", folders[0], "--here")


def test_export_is_one_file_of_all_records(tmp_path, folders, capsys):
    record(folders[0], "eval", 100, 1.5, 0.1)
    record(folders[0], "train", 100, float("nan"), 0.0)
    record(folders[1], "eval", 200, 2.5, 1.0)
    shown = safedreamer(capsys, "export", tmp_path, "method=osrp")
    assert (
        f"no records yet (waiting): {folders[2].name}" in shown and "3 episodes of 2 runs" in shown
    )
    table = pd.read_parquet(tmp_path / "records.parquet")
    assert list(table.columns) == [*COLUMNS, "run", "variant", "preset", "suites", "tags", "state"]
    assert table["return"].iloc[0] == 1.5 and table["return"].isna().tolist() == [
        False,
        True,
        False,
    ]
    assert table.run.tolist() == [folders[0].name] * 2 + [folders[1].name]
    assert table[["suites", "tags", "preset", "state"]].iloc[2].tolist() == [
        "mine",
        "toy",
        "debug",
        "running",
    ]
    with pytest.raises(BadInput, match="none of these runs has records yet"):
        export([member(folders[2])], tmp_path / "x.parquet")
    (folders[0] / "episodes.csv").write_text("a,b\n1,2\n")
    out = tmp_path / "new" / "x.parquet"
    assert app.main(["export", str(tmp_path), "method=osrp", "--out", str(out)]) == 1
    assert "episodes.csv is not a file of episode records" in capsys.readouterr().err
    # the others are exported nevertheless
    assert pd.read_parquet(out).run.tolist() == [folders[1].name]
    with pytest.raises(BadInput, match="is not a file of episode records"):
        export([member(folders[0])], tmp_path / "y.parquet")
    assert not (tmp_path / "y.parquet").exists()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["status", "nowhere"], "no folder nowhere"),
        (["status", "OUT", "sead=0"], "did you mean seed"),
        (["status", "OUT", "method=ppo"], "no run matches method=ppo"),
        (["status", "OUT", "--failed", "--runs"], "choose one of"),
        (
            ["status", "OUT", "--watch", "--watch-seconds", "0"],
            "watch_seconds=0.0 must be positive",
        ),
        (["logs", "OUT", "--tail", "0"], "tail=0 must be at least 1"),
        (["run", "OUT"], "add --here"),
        (["run", "OUT", "--here"], "6 runs match; name one by its id"),
    ],
)
def test_mistakes(args, expected, tmp_path, folders, capsys):
    assert app.main([str(tmp_path) if arg == "OUT" else arg for arg in args]) == 2
    assert expected in capsys.readouterr().err


def test_watching_ends_with_ctrl_c(tmp_path, folders):
    command = [
        sys.executable,
        "-m",
        "benchmarks.cli",
        "status",
        str(tmp_path),
        "--watch",
        "--watch-seconds",
        "0.2",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Tests started in the background ignore Ctrl-C, and so would this child.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=ROOT, env=environment, preexec_fn=listen, **pipes) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (0, "") and first.startswith("method")


def test_an_empty_comparison_names_who_is_missing(folders):
    lines = overview.compared([member(folders[2])], {folders[2]: []})
    assert lines == [f"no evaluation yet, left out: {folders[2].name} (waiting)"]


def test_cancelling_a_copy_leaves_the_original_alone(tmp_path, folders, capsys):
    """The copy's owner and status files name the running process.

    That process holds the lock of the original's folder only.
    """
    code = "import sys, time; from pathlib import Path; from benchmarks.runs.ownership import own\n"
    code += "with own(Path(sys.argv[1])):\n    print('mine', flush=True)\n    time.sleep(60)\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(folders[1]), "benchmarks.cli"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None and child.stdout.readline() == b"mine\n"
        stand(folders[1], "train", pid=child.pid)
        shutil.copytree(folders[1], tmp_path / "copy", copy_function=shutil.copy2)
        safedreamer(capsys, "cancel", tmp_path / "copy")
        assert child.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=1)
        assert "saves and ends" in safedreamer(capsys, "cancel", folders[1])
        assert child.wait(timeout=20) == -signal.SIGTERM


@pytest.mark.parametrize("name", ["replay", "checkpoints"])
def test_clean_leaves_links_as_they_are(tmp_path, folders, capsys, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "segment.npz").write_bytes(b"x" * 1000)
    (folders[0] / name).symlink_to(elsewhere)
    before = (folders[0] / ATTEMPTS_FILE).read_bytes()
    assert app.main(["clean", str(tmp_path), "--yes", "--checkpoints"]) == 1
    assert "it is a link" in capsys.readouterr().err
    assert (elsewhere / "segment.npz").is_file() and (
        folders[0] / ATTEMPTS_FILE
    ).read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe{}", b"[" * 10_000, b'{"state": "train"}'])
@pytest.mark.parametrize("name", ["status.json", "spec.json", "sweep.json"])
def test_a_damaged_run_is_named_and_the_rest_is_shown(tmp_path, folders, capsys, name, damage):
    (folders[0] / name).write_bytes(damage)
    for words in (
        ["status", "--runs"],
        ["logs"],
        ["cancel", "method=dreamerv3"],
        ["retry", "method=dreamerv3"],
    ):
        assert app.main([words[0], str(tmp_path), *words[1:]]) == 1
        said = capsys.readouterr()
        assert f"{folders[0].name}: {folders[0] / name} is damaged" in said.out + said.err
        assert folders[3].name in said.out


def test_escapes_of_a_terminal_are_shown_as_text(tmp_path, folders, capsys):
    (folders[0] / LOG_FILE).write_text("\x1b[2Jcleared\x07\n")
    assert "\\x1b[2Jcleared\\x07" in safedreamer(
        capsys, "logs", tmp_path, member(folders[0]).run_id
    )


def test_a_run_that_its_time_budget_ended_is_done(tmp_path, folders, capsys):
    stand(folders[2], "out_of_time", env_steps=100, max_minutes=5.0)
    assert member(folders[2]).state == "waiting"  # its suite sets no such budget
    spec = json.loads((folders[2] / "spec.json").read_text())
    for minutes, expected in ((4.0, "done (time)"), (5.0, "done (time)"), (6.0, "waiting")):
        spec["spec"]["max_minutes"] = minutes
        (folders[2] / "spec.json").write_text(json.dumps(spec))
        assert member(folders[2]).shown == expected
        assert expected in safedreamer(
            capsys, "status", tmp_path, "--runs", "method=osrp", "seed=2"
        )


@pytest.mark.parametrize("into", ["full", "closed"])
def test_output_that_cannot_be_written_ends_quietly(tmp_path, folders, into):
    if into == "full":
        lost = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, lost = os.pipe()
        os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cli", "status", str(tmp_path), "--runs"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=lost,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(lost)
    if into == "full":
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "cannot be written" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (141, "")


def test_a_table_fits_its_terminal(folders):
    found = [member(folder) for folder in folders]
    whole = overview.overview(found)
    assert max(map(len, whole)) > 100
    for width in (100, 80, 60):
        lines = overview.overview(found, width=width)
        assert max(map(len, lines[:-1])) <= width and len(lines) == len(whole)
        assert lines[1].startswith("osrp")
    assert overview.overview(found, width=200) == whole
    assert max(map(len, overview.each(found, width=70))) <= 70


def test_what_gives_way_in_a_narrow_table():
    header, rows = ("name", "none", "more"), [("a" * 30, "-", "x" * 12), ("b", "-", "y")]
    assert fitted(header, rows, 44) == [
        f"{'name':30}  more",
        f"{'a' * 30}  {'x' * 12}",
        f"{'b':30}  y",
    ]
    assert fitted(header, rows, 24)[1] == "aaaaaaaaaa…  xxxxxxxxxx…"
    assert fitted(header, rows, 9) == ["name", "aaaaaaa…", "b"]


def test_the_live_table_has_running_runs_time_left_and_failures(folders):
    found = [member(folder) for folder in folders]
    lines = live(found, width=100)
    assert lines[0].split() == "running task seed done steps/s left return at cost".split()
    assert lines[1].split()[-6:] == ["1", "50%", "12", "2h", "01m", "-"]
    assert any(line.startswith("failed: ") and "loss is NaN at step 60" in line for line in lines)
    # 300 steps left of the running run and those of the waiting ones, at 12 steps/s
    waiting = [m for m in found if m.state == "waiting"]
    minutes = round((300 + sum(600 - m.env_steps for m in waiting)) / 12 / 60)
    assert lines[-1].endswith(f"about {minutes}m left")
    assert max(map(len, live(found, width=50))) <= 50
