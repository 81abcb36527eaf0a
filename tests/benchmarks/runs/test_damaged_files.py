"""Every file of a real run folder, damaged in the ways that its reader tells apart, under every
command.

No traceback, no lost data, and the other runs are processed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from analysis.commands.main import main as analysis_main
from analysis.read.load import load
from analysis.tables.runs import problems
from benchmarks.cli import app
from benchmarks.runs import attempts
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.files import ATTEMPTS_FILE, OWNER_FILE
from benchmarks.runs.reading import DamagedFile, parse_object, read_lines, read_object, typed
from benchmarks.runs.status import Status
from benchmarks.training.loop import train
from slurm.minicluster.cluster import SAVED, MiniCluster
from tests.fakes.toys import ToyAgent, toy_env, toy_spec

SPEC = toy_spec(steps=200)
DIGITS = "9" * 6000
DAMAGE = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "cut in half": lambda data: data[: len(data) // 2],
    "last byte gone": lambda data: data[:-1],
    "NULs behind it": lambda data: data + bytes(5000),
    "NULs in it": lambda data: data[: len(data) // 3] + bytes(9) + data[len(data) // 3 :],
    "no UTF-8": lambda data: data[: len(data) // 2] + b"\xff\xfe\x80" + data[len(data) // 2 :],
    "one bit": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]
        if data
        else b"x"
    ),
    "deep nesting": lambda data: b"[" * 100_000,
    "nested objects": lambda data: b'{"a":' * 500 + b"1" + b"}" * 500,
    "6,000 digits": lambda data: f'{{"seed": {DIGITS}, "steps": {DIGITS}}}\n'.encode(),
    "a list": lambda data: b"[1, 2, 3]\n",
    "null": lambda data: b"null\n",
    "an empty object": lambda data: b"{}\n",
    "texts for numbers": lambda data: (
        data.replace(b": 1", b': "one"').replace(b",1", b",one").replace(b": 0", b': "none"')
    ),
    "infinite": lambda data: data.replace(b": 1", b": Infinity").replace(b",2", b",inf"),
    "huge": lambda data: data.replace(b": 1", b": 1e308").replace(b",2", b",1e308"),
    "escapes": lambda data: data.replace(b"toy", b"\x1b[31mtoy\x07"),
}
PLACE = ("missing", "a folder", "a dangling link")

# Groups of damage: the readers turn most of it into the same error (see below), so every kind
# meets one file of each reader, and the other files only what they themselves have to handle.
EVERY = (*DAMAGE, *PLACE)
BYTES = (
    "empty",
    "one byte",
    "cut in half",
    "last byte gone",
    "NULs behind it",
    "NULs in it",
    "no UTF-8",
    *PLACE,
)
VALUES = ("texts for numbers", "infinite", "huge", "escapes")
ROWS = (*BYTES, "a list", *VALUES)
FIELDS = ("cut in half", "a list", "an empty object", *VALUES, *PLACE)
COMMANDS = {
    "spec.json": EVERY,
    "attempts.jsonl": EVERY,
    "episodes.csv": (*ROWS, "one bit"),
    "log.txt": (*BYTES, "one bit"),
    "status.json": FIELDS,
    "sweep.json": FIELDS,
    "owner.json": FIELDS,
    # not opened by these commands
    "metrics.jsonl": ("a folder",),
    "run.lock": ("a folder",),
    "meta.json": ("a folder",),
    "SHA256SUMS": ("a folder",),
    "learner.npz": ("a folder",),
    "loop.npz": ("a folder",),
    "manifest.json": ("a folder",),
    "segment_000000.npz": ("a folder",),
}
# Without owner.json: one of another host is watched for half a minute, see test_ownership.py.
TRAINING = {
    "spec.json": FIELDS,
    "status.json": FIELDS,
    "attempts.jsonl": ("cut in half", *PLACE),
    "sweep.json": ("cut in half", *PLACE),
    "episodes.csv": ROWS,  # without "one bit": a changed digit goes unnoticed
    "metrics.jsonl": ("empty", "cut in half", "last byte gone", *PLACE),
    "log.txt": ("a folder",),
    "run.lock": PLACE,
    "SHA256SUMS": (*BYTES, "one bit"),
    # compared with their checksums before anything else
    "meta.json": ("one bit", "missing"),
    "learner.npz": ("one bit", "missing"),
    "loop.npz": ("one bit", "missing"),
    "manifest.json": EVERY,
    "segment_000000.npz": (*BYTES, "one bit"),
}


def pairs(kinds: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(name, how) for name, hows in kinds.items() for how in hows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A results folder of two finished runs, the second with another seed."""
    out = tmp_path_factory.mktemp("whole")
    for seed in (0, 1):
        spec = toy_spec(steps=200, seed=seed)
        folder = out / "runs" / f"toy-{seed}"
        train(spec, folder, toy_env, ToyAgent)
        attempts.add(folder, "submitted")
        (folder / "sweep.json").write_text(
            json.dumps({"suites": ["mine"], "variant": "", "tags": ["a"]})
        )
        (folder / "log.txt").write_text("a line\n" * 30)
    return out


def content(folder: Path) -> dict[str, str]:
    """Contents of every file, except the lock and folders that damage made."""
    files = (
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "run.lock"
    )
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def damage(folder: Path, name: str, how: str) -> None:
    path = next(iter(sorted(folder.rglob(name), reverse=True)), folder / name)
    if name == OWNER_FILE:
        path.write_text(
            json.dumps({"token": "0" * 32, "host": "node7", "boot": "another", "pid": 4711})
        )
    if how == "missing":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a dangling link":
        path.unlink()
        path.symlink_to(folder / "nowhere")
    else:
        path.write_bytes(DAMAGE[how](path.read_bytes()))


def commands(out: Path, capsys) -> None:
    """Run the sweep commands, which always process the other run."""
    for words in (
        ["status"],
        ["status", "--runs"],
        ["status", "--equal-progress"],
        ["status", "--failed"],
        ["logs"],
        ["cancel"],
    ):
        status = app.main([*words[:1], str(out), *words[1:]])
        said = capsys.readouterr()
        assert status in (0, 1), (words, said.err)
        assert "toy-1" in said.out or words in (
            ["status"],
            ["status", "--failed"],
            ["status", "--equal-progress"],
        ), words
        assert "\x1b" not in said.out + said.err
    assert app.main(["export", str(out), "--out", str(out / "x.parquet")]) in (0, 1)
    assert app.main(["clean", str(out)]) in (0, 1)
    assert app.main(["retry", str(out)]) in (0, 1, 2)
    capsys.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), pairs(COMMANDS))
def test_commands_name_a_damaged_run_and_do_the_rest(whole, tmp_path, capsys, name, how):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    damage(out / "runs" / "toy-0", name, how)
    before = content(out / "runs" / "toy-1")
    commands(out, capsys)
    results = load([out])
    assert set(results.runs["run"]) >= {"out/runs/toy-1"}
    assert results.runs.set_index("run").loc["out/runs/toy-1", "status"] == "complete"
    problems(results)
    now = content(out / "runs" / "toy-1")
    assert {file: found for file, found in now.items() if file != ATTEMPTS_FILE} == {
        file: found for file, found in before.items() if file != ATTEMPTS_FILE
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), pairs(TRAINING))
def test_training_goes_on_or_refuses_with_the_file_and_changes_nothing(whole, tmp_path, name, how):
    folder = tmp_path / "run"
    shutil.copytree(whole / "runs" / "toy-0", folder)
    rows = (folder / "episodes.csv").read_bytes()
    damage(folder, name, how)
    before = content(folder)
    try:
        train(SPEC, folder, toy_env, ToyAgent)
    except (BadInput, RunFailed) as error:
        assert content(folder) == before or name == "status.json"
        assert str(folder) in str(error) and "\n" not in str(error)
    else:
        found = (folder / "episodes.csv").read_bytes()
        assert found[: len(rows)] == rows or without_clock(found)[
            : len(without_clock(rows))
        ] == without_clock(rows)


def without_clock(rows: bytes) -> list[bytes]:
    return [line.rpartition(b",")[0] for line in rows.splitlines()]


@pytest.mark.parametrize(
    ("name", "how"), [("spec.json", "texts for numbers"), ("status.json", "a list")]
)
def test_a_damaged_run_is_one_of_the_problems(whole, tmp_path, name, how):
    shutil.copytree(whole, tmp_path / "out")
    damage(tmp_path / "out" / "runs" / "toy-0", name, how)
    (line,) = problems(load([tmp_path / "out"]))
    assert line.startswith("out/runs/toy-0: ") and name in line


def test_figures_and_tables_of_a_folder_with_a_damaged_run(whole, tmp_path, capsys):
    shutil.copytree(whole, tmp_path / "out")
    damage(tmp_path / "out" / "runs" / "toy-0", "episodes.csv", "huge")
    out = str(tmp_path / "out")
    assert app.main(["suites"]) == 0
    fast = ["--reps", "20", "--pair-reps", "20"]
    assert (
        analysis_main(
            ["figures", out, "--out", str(tmp_path / "figures"), "--formats", "svg", *fast]
        )
        == 0
    )
    assert analysis_main(["report", out, "--out", str(tmp_path / "report.html"), *fast]) == 0
    assert analysis_main(["tables", out, "--out", str(tmp_path / "tables"), "--reps", "20"]) == 0
    assert "Traceback" not in capsys.readouterr().err
    assert "toy-0" in (tmp_path / "tables" / "runs.md").read_text()


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"", 1, "it is empty"),
        (b'{\n"a": \xff}', 2, "it is not UTF-8 text"),
        (b'{"a": 1}\0', 1, "NUL"),
        (b'{"a":\n', 2, "it is not valid JSON"),
        (b"[]", 1, "an object was expected, found list"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, None, "nested deeper than 64 levels"),
        (b'{"a": ' + b"9" * 6000 + b"}", None, "a number of 6000 digits"),
    ],
)
def test_damage_is_one_error_with_file_and_line(tmp_path, data, line, why):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(DamagedFile, match=why) as error:
        read_object(tmp_path / "x.json")
    assert (
        error.value.line == line
        and error.value.path == tmp_path / "x.json"
        and "\n" not in str(error.value)
    )


def test_a_folder_in_a_files_place_and_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DamagedFile, match="it is a folder"):
        read_object(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_object(tmp_path / "nothing")


def test_a_line_cut_short_is_left_out_and_another_is_named(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"a": 1}\n{"a": 2')
    assert [(line.number, line.data) for line in read_lines(file)] == [(1, {"a": 1})]
    file.write_text('{"a": 1}\nwrong\n{"a": 2}\n')
    with pytest.raises(DamagedFile, match="line 2"):
        read_lines(file)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b'{"nodes": "3"}', "nodes is '3', which is not a whole number"),
        (b'{"colour": 1}', "unknown field colour"),
        (b'{"auth": "password"}', "auth is 'password', which is not one of auto, munge, none"),
        (b"[" * 10_000, "nested too deeply"),
    ],
)
def test_the_damaged_settings_of_a_private_cluster_are_named(tmp_path, data, why):
    cluster = MiniCluster(tmp_path)
    (tmp_path / SAVED).write_bytes(data)
    with pytest.raises(DamagedFile, match=why):
        cluster._saved()


def test_values_of_another_type_are_named(tmp_path):
    with pytest.raises(DamagedFile, match=r"lacks run_id"):
        typed(Status, {}, "x")
    with pytest.raises(DamagedFile, match="event is 'sung', which is not one of submitted"):
        typed(attempts.Event, {"time": "now", "event": "sung"}, "x")
    assert parse_object('{"a": NaN}', "x")["a"] != 0
