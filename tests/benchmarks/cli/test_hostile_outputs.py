"""Unwritable places are refused first; output that nobody reads is lost without further damage."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import pytest

from analysis.commands.main import main as analysis
from benchmarks.cli import app
from benchmarks.cli.common import program
from benchmarks.faults.inject import InjectOptions
from benchmarks.process.exits import FAILED, explained
from benchmarks.process.stdout import ending_quietly, going_on
from benchmarks.runs import places
from benchmarks.runs.errors import BadInput
from tests.analysis_runs import write_run
from tests.sweep_folders import submit, suite

TOY = ["--preset", "debug", "--task", "tests.fakes.toys:shore", "--obs", "default"]
COMMANDS = {
    "train": lambda out: app.main(["train", *TOY, "--out", out]),
    "omnisafe": lambda out: app.main(["train", "--method", "ppo_lag", *TOY, "--out", out]),
    "replay": lambda out: app.main(["train", *TOY, "--out", "run", "--replay.directory", out]),
    "evaluate": lambda out: app.main(["evaluate", "nowhere", "--out", out]),
    "diagnose": lambda out: app.main(["diagnose", "nowhere", "--out", out]),
    "demo": lambda out: app.main(["demo", "--out", out]),
    "plot": lambda out: analysis(["plot", "nowhere", "--out", out]),
    "tables": lambda out: analysis(["tables", "nowhere", "--out", out]),
    "figures": lambda out: analysis(["figures", "nowhere", "--out", out]),
    "report": lambda out: analysis(["report", "nowhere", "--out", out]),
}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(name, marks=pytest.mark.omnisafe if name == "omnisafe" else ())
        for name in COMMANDS
    ],
)
@pytest.mark.parametrize("out", ["FILE/x", "x" * 300, "/proc/nowhere/x", "READ-ONLY/x"])
def test_no_command_works_for_a_place_that_cannot_be_written(
    command, out, tmp_path, monkeypatch, capsys
):
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("")
    if out.startswith("READ-ONLY"):
        Path("READ-ONLY").mkdir()
        opened = Path.open
        monkeypatch.setattr(places.tempfile, "mkstemp", read_only)
        monkeypatch.setattr(Path, "mkdir", read_only)
        monkeypatch.setattr(
            Path,
            "open",
            lambda self, mode="r", *rest, **options: (
                opened(self, mode, *rest, **options) if "r" in mode else read_only()
            ),
        )
    assert COMMANDS[command](out) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and said.err.startswith("safedreamer: error: "), said.err
    own = command == "replay" and not out.startswith("READ-ONLY")
    assert ("replay.directory" if own else "--out") in said.err
    assert len(said.err) < 400 and said.out == ""
    assert {path.name for path in tmp_path.iterdir()} <= {"FILE", "READ-ONLY"}


@pytest.mark.parametrize("command", ["evaluate", "diagnose", "export", "report"])
@pytest.mark.parametrize("name", ["stress.csv", "prediction_errors.csv", "stress.json"])
def test_no_command_replaces_files_of_a_stress_test(command, name, tmp_path, capsys):
    for file in ("stress.csv", "prediction_errors.csv", "stress.json"):
        (tmp_path / file).write_text("hours")
    submit(tmp_path, suite())
    run = analysis if command == "report" else app.main
    assert run([command, str(tmp_path), "--out", str(tmp_path / name)]) == 2
    assert f"{name} belongs to the stress test in {tmp_path}" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "hours"


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_diagnosis_is_no_file_that_its_plots_would_replace(suffix, tmp_path, capsys):
    assert app.main(["diagnose", "nowhere", "--out", str(tmp_path / f"x.{suffix}")]) == 2
    assert "a plot of that name is written next to the values" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["status", "logs", "evaluate", "sweep --suite", "run --here"])
@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["long", "NUL"])
def test_a_name_that_no_file_can_have_is_one_line(words, name, capsys):
    assert app.main([*words.split(), name]) == 2
    said = capsys.readouterr()
    assert (said.err.count("\n"), said.out) == (1, "") and len(said.err) < 400


def test_programs_of_their_own_refuse_like_commands(capsys):
    def run(_: InjectOptions) -> int:
        raise BadInput("no")

    assert program(InjectOptions, run, "python -m x", "", ["--out", "a"]) == 2
    assert program(InjectOptions, run, "python -m x", "", ["--out", "a", "--out=b"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["python -m x: error: no", "python -m x: error: --out is given twice"]


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOENT]
)
@pytest.mark.parametrize("file", ["a/b.csv", None])
def test_a_file_that_cannot_be_written_is_one_line(number, file, capsys):
    def command() -> int:
        raise OSError(number, os.strerror(number), *[file] * (file is not None))

    assert explained("safedreamer", command) == FAILED
    where = f"{file}: " if file else ""
    assert capsys.readouterr().err == f"safedreamer: error: {where}{os.strerror(number)}\n"


def test_other_errors_of_the_system_keep_their_traceback():
    def command() -> int:
        raise OSError(errno.EBADF, "a bug")

    with pytest.raises(OSError, match="a bug"):
        explained("safedreamer", command)


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")  # as a write, without a file


def test_an_export_to_a_full_disk_names_its_file(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "other", "osrp", evals=[(4000, 1.0, 1.0)])
    sweep = tmp_path / "sweep"
    for folder in submit(sweep, suite(seeds="0")):
        shutil.copy(tmp_path / "other" / "episodes.csv", folder)
    monkeypatch.setattr("pyarrow.parquet.write_table", full_disk)
    assert app.main(["export", str(sweep)]) == FAILED
    file = sweep / "records.parquet"
    assert [path.name for path in sweep.iterdir()] == ["runs"]
    assert capsys.readouterr().err == f"safedreamer: error: {file}: No space left on device\n"


def test_tables_on_a_full_disk_name_their_folder(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "a", "osrp", evals=[(4000, 1.0, 1.0)])
    monkeypatch.setattr(Path, "write_text", full_disk)
    out = tmp_path / "t"
    assert analysis(["tables", str(tmp_path / "runs"), "--out", str(out), "--reps", "20"]) == 2
    said = capsys.readouterr().err
    assert said == f"safedreamer: error: [Errno 28] No space left on device: '{out}'\n"


@pytest.mark.parametrize("words", [["--suites", "demo", "--records-only"], []])
def test_publish_needs_its_folder(tmp_path, capsys, words):
    assert app.main(["publish", str(tmp_path / "nowhere"), *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"safedreamer: error: no folder {tmp_path / 'nowhere'}; give")
    assert said.count("\n") == 1 and not (tmp_path / "nowhere").exists()


TWICE = ["--out", "a", "--out=b"]


@pytest.mark.parametrize(
    "words",
    [
        *([command, "runs", *TWICE] for command in ("plot", "tables", "figures", "report")),
        ["compare", "runs", "a", "b", "--last", "3", "--last", "4"],
        ["tables", "runs", "--out", "a", "--cost-limit", "1", "--cost_limit", "2"],
        ["compare", "runs", "a", "b", "--metric", "cost", "--metric", "return"],
    ],
)
def test_options_of_the_analysis_are_given_once(words, capsys):
    with pytest.raises(SystemExit) as stop:
        analysis(words)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1 and "is given twice" in said


def test_an_abbreviated_option_is_no_way_around(capsys):
    with pytest.raises(SystemExit) as stop:
        analysis(["plot", "runs", "--out", "a", "--la", "3"])
    assert stop.value.code == 2 and "--la" in capsys.readouterr().err


@pytest.fixture(params=["closed", "full"])
def lost(request):
    """A stdout that cannot be written."""
    if request.param == "full":
        stream = open("/dev/full", "w")  # noqa: SIM115
    else:
        reader, writer = os.pipe()
        os.close(reader)
        stream = os.fdopen(writer, "w")
    yield request.param, stream
    stream.close()


def test_what_works_goes_on_without_its_output(lost, capfd, monkeypatch, tmp_path):
    into, stream = lost
    monkeypatch.setattr(sys, "stdout", stream)

    def command() -> int:
        for number in range(3):
            print("a line", flush=True)
            (tmp_path / str(number)).touch()
        print("unflushed")
        return 75

    assert going_on("safedreamer", command) == 75
    assert len(list(tmp_path.iterdir())) == 3
    why = {"closed": "Broken pipe", "full": "No space left on device"}[into]
    said = "safedreamer: the output cannot be written ({}); safedreamer goes on without it\n"
    assert capfd.readouterr().err == said.format(why)


def test_a_list_whose_output_is_lost_ends_as_before(lost, capfd, monkeypatch):
    into, stream = lost
    monkeypatch.setattr(sys, "stdout", stream)
    assert app.main(["methods"]) == {"closed": 141, "full": 1}[into]
    said = "safedreamer: error: the output cannot be written (No space left on device)\n"
    assert capfd.readouterr().err == {"closed": "", "full": said}[into]


def test_what_only_shows_something_ends(lost, capfd, monkeypatch):
    into, stream = lost
    monkeypatch.setattr(sys, "stdout", stream)

    def command() -> int:
        print("a line", flush=True)
        raise AssertionError("went on")

    assert ending_quietly("safedreamer", command) == {"closed": 141, "full": 1}[into]
    assert capfd.readouterr().err.count("\n") == {"closed": 0, "full": 1}[into]


def test_an_error_of_another_file_is_not_taken_for_one_of_the_output():
    def command() -> int:
        raise OSError(errno.EIO, "a disk")

    with pytest.raises(OSError, match="a disk"):
        going_on("safedreamer", command)


def test_a_closed_stderr_stops_nothing(monkeypatch, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)

        def command() -> int:
            print("a line", file=sys.stderr, flush=True)
            (tmp_path / "done").touch()
            return 0

        assert going_on("safedreamer", command) == ending_quietly("safedreamer", command) == 0
    assert (tmp_path / "done").exists()


def test_commands_that_train_or_write_go_on(monkeypatch):
    chosen = []
    for name in ("going_on", "ending_quietly"):
        monkeypatch.setattr(app, name, lambda *_, name=name: chosen.append(name) or 0)
    for words in (["train"], ["sweep"], ["run"], ["evaluate"], ["cancel"], ["clean"], ["export"]):
        app.main(words)
    assert set(chosen) == {"going_on"}
    chosen.clear()
    for words in ([], ["--help"], ["train", "--help"], ["status"], ["logs"], ["tasks"]):
        app.main(words)
    assert set(chosen) == {"ending_quietly"}
