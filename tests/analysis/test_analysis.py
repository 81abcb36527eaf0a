"""From run folders to tables: every kind of incomplete run must be visible, and the report writes
all its files.
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.commands import plot
from analysis.commands.main import main
from analysis.read.load import load
from analysis.results.judge import usable
from analysis.statistics.final import final_runs, performance
from analysis.tables import cells
from analysis.tables.runs import runs_markdown
from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.records import COLUMNS
from tests.analysis_runs import OBS, TASK, run_row, write_run, write_sweep


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path)


def append(folder: Path, text: str) -> None:
    with (folder / RECORDS_FILE).open("a", encoding="utf-8") as file:
        file.write(text)


# -- load ------------------------------------------------------------------------------------------


def test_load_gives_every_record_once(sweep):
    results = load([sweep])
    assert list(results.episodes.columns) == ["run", "variant", "label", *COLUMNS]
    assert len(results.episodes) == 3 * (4 + 4) + 3
    assert set(results.runs["status"]) == {"complete"}
    row = run_row(results, "osrp-2")
    assert (row["method"], row["task"], row["obs"], row["seed"], row["cost_limit"]) == (
        "osrp",
        TASK,
        OBS,
        2,
        2.0,
    )
    assert (row["train_episodes"], row["eval_episodes"], row["env_steps"], row["wall_seconds"]) == (
        4,
        4,
        4000,
        400.0,
    )
    assert row["run"] == f"{sweep.name}/osrp-2"


def test_run_given_twice_counts_once(sweep):
    assert len(load([sweep, sweep / "osrp-0"]).runs) == 4


def test_run_without_records_stays_visible(sweep):
    write_run(sweep / "bsrp_lag-3", "bsrp_lag", 3)
    results = load([sweep])
    row = run_row(results, "bsrp_lag-3")
    assert (row["status"], row["method"], row["seed"], row["used"]) == (
        "no records",
        "bsrp_lag",
        3,
        False,
    )
    (line,) = performance(final_runs(results)).query("method == 'bsrp_lag'").to_dict("records")
    assert (line["seeds"], line["runs"], line["episodes"]) == (0, 1, 0)
    assert np.isnan(line["return"])
    shown = cells.performance(performance(final_runs(results)), plot.HEAD, 10).markdown()
    assert "| BSRP-Lag | – | – | – | – | 2 | 0 | 0 of 1 | – |" in shown
    assert "Runs without evaluations, or with a diverged one, are not in the means." in shown


def test_header_without_rows_is_no_records(tmp_path):
    folder = write_run(tmp_path / "a", "osrp")
    append(folder, ",".join(COLUMNS) + "\n")
    assert run_row(load([tmp_path]), "a")["status"] == "no records"


def test_run_without_spec_keeps_its_episodes_and_says_so(tmp_path):
    write_run(tmp_path / "a", "osrp", evals=[(1000, 1.0, 2.0)], spec=False)
    results = load([tmp_path])
    row = run_row(results, "a")
    assert (row["status"], row["method"], len(usable(results))) == ("no specification", "osrp", 1)
    assert np.isnan(row["cost_limit"])
    assert np.isnan(performance(final_runs(results))["feasible_episodes"][0])


def test_unreadable_spec_is_named(tmp_path):
    folder = write_run(tmp_path / "a", "osrp", evals=[(1000, 1.0, 2.0)])
    (folder / "spec.json").write_text('{"spec": ')
    row = run_row(load([tmp_path]), "a")
    assert row["status"] == "unreadable specification"
    assert "spec.json: line 1: it is not valid JSON: Expecting value" in row["notes"]


def test_foreign_columns_make_records_unreadable(tmp_path):
    folder = write_run(tmp_path / "a", "osrp")
    append(folder, "method,score\nosrp,1\n")
    row = run_row(load([tmp_path]), "a")
    assert row["status"] == "unreadable records"
    assert "unknown ['score']" in row["notes"]


def test_short_run_and_complete_run_are_told_apart(tmp_path):
    write_run(
        tmp_path / "short",
        "osrp",
        evals=[(2000, 1.0, 0.0)],
        train=[(1000, 1.0, 0.0), (3000, 1.0, 0.0)],
    )
    write_run(tmp_path / "whole", "osrp", 1, evals=[(4000, 1.0, 0.0)], train=[(3000, 1.0, 0.0)])
    # the next episode would end at 4500 > 4000
    write_run(tmp_path / "no_evals", "osrp", 2, train=[(1500, 1.0, 0.0), (3000, 1.0, 0.0)])
    results = load([tmp_path])
    assert run_row(results, "short")["status"] == "short of its step budget"
    assert (
        run_row(results, "whole")["status"] == run_row(results, "no_evals")["status"] == "complete"
    )
    assert "3,000 of 4,000" in runs_markdown(results)


def test_cut_off_last_line_is_counted_and_named(tmp_path):
    folder = write_run(tmp_path / "a", "osrp", evals=[(1000, 1.0, 2.0), (4000, 3.0, 4.0)])
    file = folder / RECORDS_FILE
    file.write_bytes(file.read_bytes()[:-7])
    results = load([tmp_path])
    assert run_row(results, "a")["damaged_lines"] == 1
    assert results.episodes["return"].tolist() == [1.0]
    (damage,) = results.damage.to_dict("records")
    assert damage == {
        "run": f"{tmp_path.name}/a",
        "file": "episodes.csv",
        "line": 3,
        "reason": "cut off: no end of line",
    }
    assert "a/episodes.csv line 3: cut off" in runs_markdown(results)


def test_whole_fields_without_end_of_line_still_count_as_cut_off(tmp_path):
    folder = write_run(tmp_path / "a", "osrp", evals=[(1000, 1.0, 2.0), (2000, 3.0, 4.0)])
    file = folder / RECORDS_FILE
    file.write_bytes(file.read_bytes()[:-1])  # 200.0 might have been 200.01
    assert load([tmp_path]).damage["line"].tolist() == [3]


def test_damaged_lines_in_the_middle_are_named_one_by_one(tmp_path):
    folder = write_run(tmp_path / "a", "osrp", evals=[(1000, 1.0, 2.0)])
    good = (folder / RECORDS_FILE).read_text().splitlines()[1]
    fields = good.split(",")
    wrong_number = ",".join([*fields[:9], "1.2.3", *fields[10:]])
    wrong_split = good.replace(",eval,", ",test,")
    append(
        folder,
        f"{wrong_number}\n{wrong_split}\na,b\n\n"
        + "\0" * 20
        + "\n"
        + good.replace(",1000,", ",3000,", 1)
        + "\n",
    )
    results = load([tmp_path])
    assert results.damage[["line", "reason"]].values.tolist() == [
        [3, "return is '1.2.3'"],
        [4, "split is 'test'"],
        [5, "2 of 13 fields"],
        [6, "0 of 13 fields"],
        [7, "1 of 13 fields"],
    ]
    assert results.episodes["env_steps"].tolist() == [1000, 3000]


def test_episode_recorded_twice_is_kept_once(tmp_path):
    folder = write_run(tmp_path / "a", "osrp", evals=[(4000, 1.0, 2.0)])
    append(
        folder,
        (folder / RECORDS_FILE).read_text().splitlines()[1].replace(",1.0,2.0,", ",8.0,2.0,")
        + "\n",
    )
    results = load([tmp_path])
    assert results.episodes["return"].tolist() == [8.0]
    assert run_row(results, "a")["notes"] == "1 episodes recorded twice, the later record kept"


def test_duplicate_run_is_shown_and_not_averaged(tmp_path):
    write_run(tmp_path / "copy", "osrp", evals=[(2000, 1.0, 0.0)], run_id="same")
    write_run(tmp_path / "orig", "osrp", evals=[(2000, 1.0, 0.0), (4000, 5.0, 0.0)], run_id="same")
    results = load([tmp_path])
    assert run_row(results, "copy")["status"] == "duplicate"
    assert set(usable(results)["run"]) == {f"{tmp_path.name}/orig"}
    assert len(results.episodes) == 3  # exported nevertheless
    (line,) = performance(final_runs(results)).to_dict("records")
    assert (line["runs"], line["return"]) == (1, 3.0)


def test_spec_that_contradicts_the_records_is_noted(tmp_path):
    folder = write_run(tmp_path / "a", "osrp", evals=[(4000, 1.0, 2.0)])
    spec = json.loads((folder / "spec.json").read_text())
    spec["spec"]["seed"] = 7
    (folder / "spec.json").write_text(json.dumps(spec))
    assert run_row(load([tmp_path]), "a")["notes"] == "seed is 0 in the records, 7 in spec.json"


def test_empty_folder_is_shown(sweep):
    (sweep / "osrp-9").mkdir()
    assert run_row(load([sweep]), "osrp-9")["status"] == "empty folder"


def test_links_to_runs_are_followed_once_and_without_end(sweep, tmp_path_factory):
    real = write_run(tmp_path_factory.mktemp("disk") / "mine", "osrp", 8, evals=[(4000, 1.0, 1.0)])
    before = load([sweep]).runs["run"].tolist()
    (sweep / "linked").symlink_to(real)
    (sweep / "again").symlink_to(sweep / "osrp-0")  # its name stays that of the folder
    (sweep / "loop").symlink_to(sweep)
    (sweep / "nothing").symlink_to(sweep / "gone")
    assert sorted(load([sweep]).runs["run"]) == sorted([*before, f"{sweep.name}/linked"])
    (sweep / "link-of-links").symlink_to(real.parent)
    assert len(load([sweep]).runs) == len(before) + 1
    for where in (sweep / "linked", sweep / "link-of-links", real):
        assert load([where]).runs["method"].tolist() == ["osrp"]


def test_folders_without_runs_are_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=f"no run at or below {re.escape(str(tmp_path))}"):
        load([tmp_path])
    with pytest.raises(ValueError, match="no folder given"):
        load([])


def test_wrong_path_names_the_nearest(sweep):
    with pytest.raises(FileNotFoundError, match="did you mean osrp-0"):
        load([sweep / "ospr-0"])


# -- report ----------------------------------------------------------------------------------------


def test_report_writes_everything(sweep, tmp_path):
    write_run(sweep / "cem-0", "cem")
    files = plot.write(load([sweep]), sweep / "report", k=2, title="Demo")
    assert [file.name for file in files] == [
        "curves.png", "curves.pdf", "table.md", "table.csv", "episodes.csv", "report.json"
    ]  # fmt: skip
    assert (sweep / "report/curves.png").read_bytes().startswith(b"\x89PNG")
    assert (sweep / "report/curves.pdf").read_bytes().startswith(b"%PDF")
    text = (sweep / "report/table.md").read_text()
    assert text.startswith("# Demo")
    best = "| **OSRP** | **12.00 ± 4.97** | **2.00 ± 0.00** |"
    assert f"{best} 100 % | 50 % | 2 | 6 | 3 of 3 | 0 1 2 | 4,000 | 6.7 |" in text
    table = pd.read_csv(sweep / "report/table.csv").set_index("method")
    assert table.loc["osrp", "return"] == 12.0
    assert len(pd.read_csv(sweep / "report/episodes.csv")) == 27
    summary = json.loads((sweep / "report/report.json").read_text())
    assert summary["warnings"] == [f"{sweep.name}/cem-0: no records"]
    assert all(
        (sweep / "report" / run["folder"]).is_dir() and not Path(run["folder"]).is_absolute()
        for run in summary["runs"]
    )
    again = load([sweep])
    assert len(again.runs) == 5  # the report beside the runs is not loaded as one


def test_same_runs_give_the_same_bytes(sweep):
    results = load([sweep / "osrp-0"])
    first, second = (plot.write(results, sweep / name) for name in ("a", "b"))
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(first, second)] == [True] * 6


def test_cost_limit_can_be_replaced(sweep):
    options = ["--out", str(sweep / "report"), "--last", "2", "--cost-limit", "3"]
    assert main(["plot", str(sweep), *options]) == 0
    assert pd.read_csv(sweep / "report/table.csv")["feasible_episodes"].tolist() == [0.0, 1.0]


def test_command_line(sweep, capsys):
    write_run(sweep / "cem-0", "cem")
    assert main(["plot", str(sweep), "--out", str(sweep / "report"), "--last", "2"]) == 0
    shown = capsys.readouterr()
    assert "| **OSRP** | **12.00 ± 4.97**" in shown.out
    assert f"warning: {sweep.name}/cem-0: no records" in shown.err
    assert main(["plot", str(sweep / "nothing"), "--out", str(sweep / "report")]) == 2
    assert "error: no folder" in capsys.readouterr().err
