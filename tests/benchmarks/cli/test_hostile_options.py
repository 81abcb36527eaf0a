"""Every numeric setting and option has a range.

Presets are in range; NaN and values that overflow or never end are not.
"""

from __future__ import annotations

import dataclasses
import math

import pytest

from benchmarks.cli import app
from benchmarks.methods import METHODS
from benchmarks.runs.errors import BadInput
from benchmarks.runs.identity import flatten
from benchmarks.runs.ranges import MAX_SEED, check_number, check_numbers, range_of
from benchmarks.runs.records import COLUMNS
from tests.sweep_folders import submit, suite

INFINITE = {"actor.max_std"}
TRAIN = ["train", "--preset", "debug", "--task", "tests.fakes.toys:shore", "--obs", "default"]


def every_setting():
    found = {}
    for method in METHODS.values():
        if method.engine == "torch":
            continue
        for obs in method.observations:
            for preset in method.presets:
                made = method.make_settings(obs, preset, 0.2, "")
                flat = flatten(
                    {
                        "loop": dataclasses.asdict(made.loop),
                        "replay": dataclasses.asdict(made.replay),
                    }
                )
                flat |= flatten(dataclasses.asdict(made.agent)) | {"steps": made.steps}
                check_numbers(flat)
                found |= {
                    k: v
                    for k, v in flat.items()
                    if isinstance(v, int | float) and not isinstance(v, bool)
                }
    return found


def test_presets_lie_in_the_ranges_and_nothing_is_without_one():
    names = every_setting()
    assert len(names) > 70
    for name in names:
        for value in (math.nan, -math.inf, 1e300, -1e300):
            with pytest.raises(BadInput, match=name.replace(".", r"\.")):
                check_number(name, value)
        if name in INFINITE:
            check_number(name, math.inf)
        else:
            with pytest.raises(BadInput):
                check_number(name, math.inf)


@pytest.mark.parametrize(
    "words",
    [
        "--env-timeout-seconds inf",
        "--env-timeout-seconds nan",
        "--max-minutes 1e30",
        "--loop.train-ratio inf",
        "--seed 9223372036854775808",
        "--seed 99999999999999999999",
        "--planner.candidates 1e10",
        "--cost-limit inf",
        "--cost-limit nan",
        "--report-seconds -1",
        "--steps 1e400",
        "--max-env-faults 1e300",
        "--seed 1 --seed 2",
        "--planner.horizon 3 --planner.horizon=4",
        "--cost-limit 1 --cost_limit 2",
        "--planner.feasible-filter --planner.no-feasible-filter",
    ],
)
def test_what_is_out_of_range_or_given_twice_is_one_line_and_status_2(
    words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert app.main([*TRAIN, "--out", "run", *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("safedreamer: error: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "status DIR --watch-seconds nan",
        "logs DIR --tail 1e30",
        "evaluate DIR --episodes 1e9",
        "demo --minutes inf",
    ],
)
def test_options_of_commands_have_ranges(words, capsys, tmp_path):
    assert app.main(words.replace("DIR", str(tmp_path)).split()) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "--suite", "core5", "--out", "RUNS", "--only"],
        ["sweep", "--suite", "core5", "--out", "RUNS", "--tags", "--dry-run"],
        ["evaluate", "RUN", "--set"],
        ["stress", "RUN", "--strengths", "--dry-run"],
        ["publish", "RUNS", "--suites"],
    ],
)
def test_a_list_without_values_is_refused_instead_of_ignored(words, capsys):
    option = [word for word in words if word != "--dry-run"][-1]
    assert app.main(words) == 2
    said = capsys.readouterr().err
    assert f"{option} has no value; give at least one" in said and said.count("\n") == 1


@pytest.mark.parametrize("out", ["FILE/x", "x" * 300, "\0", "/proc/nowhere/x"])
def test_a_place_that_cannot_be_written_is_refused_first(out, capsys, tmp_path):
    (tmp_path / "FILE").write_text("")
    place = out if out.startswith("/") else str(tmp_path / out)
    assert app.main([*TRAIN, "--out", place]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--out" in said
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


@pytest.mark.parametrize(
    "words",
    [
        "plot RUN --out RUN",
        "tables RUN --out RUN",
        "report RUN --out RUN/spec.json",
        "export RUN --out RUN/episodes.csv",
        "evaluate RUN --out RUN/episodes.csv --episodes 1",
        "evaluate RUN --out RUN/checkpoints/mine.csv --episodes 1",
        "diagnose RUN --out RUN/final.csv",
        "stress RUN --out RUN",
        "sweep --suite core5 --out RUN",
        "demo --out RUN",
    ],
)
def test_no_command_writes_over_a_runs_own_files(words, capfd, tmp_path):
    (run,) = submit(tmp_path, suite("0"))[:1]
    (run / "episodes.csv").write_text(",".join(COLUMNS) + "\n")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert app.main(words.replace("RUN", str(run)).split()) in (1, 2)
    assert "choose another one" in capfd.readouterr().err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_tilde_is_expanded(monkeypatch, tmp_path):
    from benchmarks.cli import train

    monkeypatch.setenv("HOME", str(tmp_path))
    run, _ = train.read(
        ["--preset", "debug", "--task", "tests.fakes.toys:shore", "--obs", "default", "--out=~/x1"]
    )
    assert run.out == tmp_path / "x1"


def test_seeds_are_those_that_every_generator_takes():
    assert MAX_SEED == range_of("seed").high == 2**32 - 1


def test_the_cpu_preset_is_for_an_hour():
    from benchmarks.cli import train

    command = ["--method", "dreamerv3", "--preset", "cpu", "--obs", "lidar"]
    assert train.read(command)[1].max_minutes == 60.0
    assert train.read([*command, "--max-minutes", "5"])[1].max_minutes == 5.0
    assert train.read([*command, "--max-minutes", "None"])[1].max_minutes is None
