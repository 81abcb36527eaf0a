"""One damaged or pathological run among good ones, from this suite and from other programs.

It is named, and the rest is drawn.
"""

from __future__ import annotations

import json

import pandas as pd
import pytest

from analysis.commands.main import main as commands
from analysis.read.load import load
from analysis.tables.runs import problems
from tests.analysis_runs import run_row, write_run

HEAD = "Metrics/EpRet,Metrics/EpCost,TotalEnvSteps\n"
CONFIG = json.dumps(
    {
        "algo": "PPOLag",
        "env_id": "SafetyPointGoal1-v0",
        "seed": 0,
        "train_cfgs": {"total_steps": 1000},
    }
)


def omnisafe(folder, rows="1,2,1000\n", config: str | None = CONFIG, tail=b""):
    folder.mkdir(parents=True)
    (folder / "progress.csv").write_bytes((HEAD + rows).encode() + tail)
    if config is None:
        (folder / "config.json").mkdir()
    else:
        (folder / "config.json").write_text(config)


FOREIGN = {  # how a run is damaged, and what is reported of it
    "NULs behind it": (lambda f: omnisafe(f, tail=bytes(200_000)), "1 damaged line"),
    "infinite steps": (lambda f: omnisafe(f, "1,2,inf\n1,2,1000\n"), "1 damaged line"),
    "settings that are a text": (
        lambda f: omnisafe(f, config=json.dumps({"train_cfgs": "a text", "algo": 5})),
        "no step budget",
    ),
    "a configuration that is a folder": (
        lambda f: omnisafe(f, config=None),
        "config.json: it is a folder",
    ),
    "6,000 digits": (
        lambda f: omnisafe(f, config='{"seed": ' + "9" * 6000 + "}"),
        "a number of 6000 digits",
    ),
    "deep nesting": (lambda f: omnisafe(f, config="[" * 100_000), "nested too deeply"),
    "no CSV": (lambda f: omnisafe(f, '"' * 99_999 + "\n" + "x" * 200_000), "damaged line"),
}


@pytest.mark.parametrize("how", FOREIGN)
def test_a_damaged_run_of_another_program_is_named_and_ours_is_whole(tmp_path, how):
    write_run(tmp_path / "good", "osrp", evals=[(2000, 1.0, 1.0), (4000, 2.0, 1.0)])
    make, named = FOREIGN[how]
    make(tmp_path / "theirs")
    results = load([tmp_path])
    assert run_row(results, "good")["status"] == "complete"
    assert any(
        line.startswith(f"{tmp_path.name}/theirs") and named in line for line in problems(results)
    )


def test_a_seed_that_no_table_holds_is_missing_and_its_run_is_whole(tmp_path):
    omnisafe(tmp_path / "theirs", config=json.dumps({"seed": 2**70, "total_steps": 1000}))
    results = load([tmp_path])
    run = run_row(results, "theirs")
    assert run["status"] == "complete" and pd.isna(run["seed"])
    assert len(results.episodes) == 1 and problems(results) == []


def test_a_cost_limit_of_null_is_none(tmp_path):
    run = tmp_path / "2023-01-01_bsrplag_safetygymcoor_SafetyPointGoal1-v0_0"
    run.mkdir()
    (run / "scores.jsonl").write_text(
        '{"step": 1000, "episode/score": 1.0, "episode/cost": 2.0}\n'
        '{"step": 1e400, "episode/score": 1}\n'
    )
    (run / "config.yaml").write_text("cost_limit: null\nseed: 0\n")
    results = load([tmp_path])
    assert (
        results.runs["cost_limit"].isna().all()
        and len(results.episodes) == 1
        and len(results.damage) == 1
    )


@pytest.fixture
def unlucky(tmp_path):
    """A good run, one with values that no axis can show, and tasks whose names are formulas, paths
    or very long.
    """
    folder = tmp_path / "runs"
    write_run(folder / "good", "osrp", evals=[(2000, 1.0, 1.0), (4000, 2.0, 1.0)])
    write_run(
        folder / "infinite", "osrp", seed=2, evals=[(2000, float("inf"), 1.0), (4000, 1e308, 1.0)]
    )
    write_run(
        folder / "formula", "osrp", task="a/$\\frac$-$x", evals=[(2000, 1.0, 1.0), (4000, 2.0, 1.0)]
    )
    write_run(
        folder / "long", "osrp", task="\U00010400" * 90, evals=[(2000, 3.0, 1.0), (4000, 2.0, 1.0)]
    )
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")
def test_values_and_names_that_figures_cannot_hold(unlucky, tmp_path, capsys):
    assert commands(["plot", str(unlucky), "--out", str(tmp_path / "plot")]) == 0
    assert (
        "infinite: 2 episodes left out: a return or cost that is infinite or beyond 1e+12"
        in capsys.readouterr().err
    )
    fast = ["--formats", "svg", "--reps", "20", "--pair-reps", "20"]
    assert commands(["figures", str(unlucky), "--out", str(tmp_path / "figures"), *fast]) == 0
    text = "".join(file.read_text() for file in (tmp_path / "figures").glob("curves-*.svg"))
    assert "\\frac" in text


@pytest.mark.parametrize(
    "words", ["--last 0", "--last nan", "--reps 1e3", "--embed-mb inf", "--reps 99999999999"]
)
def test_numbers_out_of_range_are_refused(unlucky, tmp_path, capsys, words):
    with pytest.raises(SystemExit) as stop:
        commands(["report", str(unlucky), "--out", str(tmp_path / "r.html"), *words.split()])
    assert stop.value.code == 2 and words.split()[0] in capsys.readouterr().err


@pytest.mark.parametrize("out", ["FILE/x", "x" * 300])
def test_a_place_that_cannot_be_written_is_refused_in_one_line(unlucky, tmp_path, capsys, out):
    (tmp_path / "FILE").write_text("")
    assert commands(["plot", str(unlucky), "--out", str(tmp_path / out)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--out" in said
