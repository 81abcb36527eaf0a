"""`safedreamer tables` and `compare` as functions.

What they write and print, and their one-line errors.
"""

import re

import pandas as pd
import pytest

from analysis import synthetic
from analysis.commands.main import main
from tests.analysis_runs import write_run


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    made = synthetic.results(methods=("osrp", "osrp_lag"), tasks=3, seeds=4, steps=20_000)
    folder = synthetic.write(tmp_path_factory.mktemp("sweep"), made)
    late = write_run(
        folder / "runs/late",
        "osrp",
        9,
        task="SafetyPointGoal1-v0",
        evals=[(12000, 5.0, 1.0)],
        steps=20000,
    )
    (late / "sweep.json").write_text('{"suites": ["synthetic"]}')
    return folder


def test_tables_writes_everything_in_three_formats(sweep, tmp_path, capsys):
    assert main(["tables", str(sweep), "--out", str(tmp_path / "t"), "--reps", "50"]) == 0
    shown = capsys.readouterr().out
    assert "| Method | Normalised return, IQM | Normalised return, Optimality Gap |" in shown
    assert re.search(r"\| OSRP-Lag \| \d\.\d\d \[\d\.\d\d, \d\.\d\d\] \|", shown)
    names = {
        f"{table}.{kind}" for table in ("comparison", "aggregates") for kind in ("csv", "md", "tex")
    }
    assert {file.name for file in (tmp_path / "t").iterdir()} == names | {
        "scores.csv",
        "references.csv",
        "runs.md",
    }
    assert len(pd.read_csv(tmp_path / "t/scores.csv")) == 25
    text = (tmp_path / "t/runs.md").read_text()
    assert "short of its step budget" in text and "Missing for a full grid" in text
    assert (tmp_path / "t/comparison.tex").read_text().startswith(r"\begin{tabular}{lccccccc}")
    assert "† 1" in (tmp_path / "t/comparison.md").read_text()


def test_tables_at_equal_progress_says_where(sweep, tmp_path):
    arguments = [
        "tables",
        str(sweep),
        "--out",
        str(tmp_path / "t"),
        "--reps",
        "20",
        "--metrics",
        "return",
        "--no-published",
    ]
    assert main([*arguments, "--at", "equal"]) == 0
    assert "Judged at 12,000 simulator steps." in (tmp_path / "t/aggregates.md").read_text()
    assert pd.read_csv(tmp_path / "t/scores.csv")["env_steps"].max() <= 12000
    assert "†" not in (tmp_path / "t/comparison.md").read_text()


def test_runs_that_name_no_task_are_left_out_with_a_warning(tmp_path, capsys):
    write_run(tmp_path / "runs" / "a", "osrp", evals=[(4000, 1.0, 1.0)])
    (tmp_path / "theirs.csv").write_text("R,C,S\n1,2,1000\n3,4,2000\n")
    columns = ["return=R", "cost=C", "env_steps=S", "split=eval"]
    words = ["tables", str(tmp_path / "runs"), "--out", str(tmp_path / "t"), "--reps", "20"]
    assert main([*words, "--import", str(tmp_path / "theirs.csv"), *columns]) == 0
    assert capsys.readouterr().err == (
        "warning: left out, because they name no task: theirs.csv/theirs///nan\n"
    )
    assert pd.read_csv(tmp_path / "t" / "scores.csv")["method"].tolist() == ["osrp"]
    assert "theirs.csv/theirs///nan" in (tmp_path / "t" / "runs.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--at", "soon"], "--at soon: give a number of simulator steps or 'equal'"),
        (["--metrics", "reward"], "no metric 'reward'; there are return"),
        (
            ["--at", "10"],
            "no run has evaluations up to simulator step 10; the first is at 1,000: give a larger",
        ),
    ],
)
def test_mistakes_get_one_line(sweep, tmp_path, capsys, arguments, expected):
    assert main(["tables", str(sweep), "--out", str(tmp_path / "t"), *arguments]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("command", ["figures", "report"])
def test_a_step_below_the_first_evaluation_is_refused(sweep, tmp_path, capsys, command):
    out = tmp_path / "out"
    assert main([command, str(sweep), "--out", str(out), "--at", "999"]) == 2
    assert "the first is at 1,000: give a larger --at" in capsys.readouterr().err
    assert not out.exists()


def test_a_number_out_of_range_gets_one_line_and_status_2(sweep, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["tables", str(sweep), "--out", str(tmp_path / "t"), "--cost-limit", "-1"])
    assert "cost_limit=-1.0 must not be negative" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_compare_prints_test_and_plan(sweep, capsys):
    assert main(["compare", str(sweep), "osrp", "osrp_lag", "--metric", "return"]) == 0
    shown = capsys.readouterr().out
    assert (
        "## Episode return: osrp_lag - osrp" in shown and "| osrp_lag - osrp | all | 12 |" in shown
    )
    assert "osrp_lag - osrp in return is" in shown and "| Seeds | Width of A's interval |" in shown
    assert main(["compare", str(sweep), "osrp", "ppo"]) == 2
    assert (
        "osrp and ppo have no task and seed in common; there are osrp, osrp_lag"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["osrp", "osrp"], "A and B are both osrp: give two different methods"),
        (["paper", "paper", "--by", "tag"], "A and B are both paper: give two different tags"),
        (["osrp", "osrp_lag", "--power", "1"], "--power 1: no number of seeds is certain"),
    ],
)
def test_comparisons_without_an_answer_get_one_line(sweep, capsys, arguments, expected):
    assert main(["compare", str(sweep), *arguments]) == 2
    said = capsys.readouterr()
    assert expected in said.err and said.err.count("\n") == 1 and said.out == ""


def test_compare_of_tags(tmp_path, capsys):
    for tag, gain in (("before", 0.0), ("after", 1.0)):
        for seed in range(3):
            folder = write_run(
                tmp_path / tag / str(seed),
                "osrp",
                seed,
                evals=[(4000, seed + gain, 1.0)],
                run_id=f"id{seed}",
            )
            (folder / "sweep.json").write_text(f'{{"tags": ["{tag}"]}}')
    assert main(["compare", str(tmp_path), "before", "after", "--by", "tag"]) == 0
    shown = capsys.readouterr().out
    assert (
        "| osrp | PointGoal1 (coordinates) | 3 | 1.00 | 2.00 | 1.00 [1.00, 1.00] | 0.0000 | "
        "0.0000 | yes |"
    ) in shown
    assert (
        "| osrp | PointGoal1 (coordinates) | 3 | 1.00 | 1.00 | 0.00 [0.00, 0.00] | 1.0000 | "
        "1.0000 | not shown |"
    ) in shown
