"""Statistics, figure and tables of a stress test, from a hand-made results folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.commands.main import main
from analysis.figures import stress as figures
from analysis.figures import stress_errors
from analysis.read.stress import read, read_errors
from analysis.statistics.stress import cost_and_errors, costlier, crossing, matrix, stress
from analysis.tables.stress import costlier_markdown, thresholds_markdown
from benchmarks.runs.reading import DamagedFile
from benchmarks.runs.records import ERROR_COLUMNS, STRESS_COLUMNS
from tests.tree import ROOT

TASK, OTHER = "SafetyPointCircle1-v0", "SafetyPointCircle2-v0"


def folder_of(
    folder: Path, cells: dict[tuple[str, str, str, float], list[float]], limit: float | None = 2.0
) -> Path:
    """Write a results folder from episode costs of each (run, task, perturbation, strength).

    The first task of a run is the one it was trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        [run, "osrp", task, "lidar", 0, "eval", 1000 + i, 400, 200, 10.0 + i - strength, cost, 500,
         1.0, name, strength]
        for (run, task, name, strength), costs in cells.items()
        for i, cost in enumerate(costs)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(STRESS_COLUMNS))
    frame.to_csv(folder / "stress.csv", index=False, lineterminator="\n")
    runs = {
        f"{run} osrp": {"run_id": run, "method": "osrp", "task": task, "cost_limit": limit}
        for run, task in {run: task for run, task, *_ in reversed(cells)}.items()
    }
    (folder / "stress.json").write_text(json.dumps({"units": {"mass": "relative"}, "runs": runs}))
    return folder


def curve(run: str, name: str, costs: dict[float, list[float]]) -> dict:
    return {
        (run, TASK, "none" if strength == 0 else name, strength): values
        for strength, values in costs.items()
    }


def with_errors(folder: Path, cells: dict[tuple[str, str, float], list[float]]) -> Path:
    """Write errors of each (run, perturbation, strength): of observations, then of costs, 1 and 15
    steps ahead; reward errors are NaN, as for rewards that never vary.
    """
    rows = [
        [run, "osrp", TASK, name, strength, 8, steps, values[i], "nan", values[2 + i], 0.1, 0.2]
        for (run, name, strength), values in cells.items()
        for i, steps in enumerate((1, 15))
    ]
    frame = pd.DataFrame(rows, columns=list(ERROR_COLUMNS))
    frame.to_csv(folder / "prediction_errors.csv", index=False, lineterminator="\n")
    return folder


ERRORS = {
    ("a", "none", 0.0): [0.2, 0.4, 0.01, 0.02],
    ("a", "mass", 1.0): [0.4, 0.8, 0.03, 0.04],
    ("b", "none", 0.0): [0.4, 0.6, 0.03, 0.04],
}


def test_crossings_by_hand():
    strengths = np.array([0.0, 1.0, 3.0])
    costs = np.array([[0.0, 5.0, 0.0, 0.0, 2.0], [1.0, 0.0, 4.0, 0.0, 2.0], [5.0, 0, 0, 2.0, 2.5]])
    found = crossing(strengths, costs, 2.0)
    # between 1 and 3: 1 + 2 * (2 - 1) / (5 - 1); already at 0; halfway to 1; never; exactly at 1
    np.testing.assert_allclose(found, [1.5, 0.0, 0.5, np.inf, 1.0])


def test_means_intervals_and_the_threshold(tmp_path):
    costs = {0.0: [0.0, 0.0, 0.0, 0.0], 1.0: [0.0, 2.0, 0.0, 2.0], 2.0: [4.0, 8.0, 4.0, 8.0]}
    other = {strength: [cost + 1.0 for cost in values] for strength, values in costs.items()}
    cells = curve("a", "mass", costs) | curve("b", "mass", other)
    found = stress(read(folder_of(tmp_path, cells)))
    levels = found.levels.set_index("strength")
    assert levels["cost"].to_dict() == {0.0: 0.5, 1.0: 1.5, 2.0: 6.5}
    assert levels["return"].to_dict() == {0.0: 11.5, 1.0: 10.5, 2.0: 9.5}
    assert levels.loc[0.0, ["cost_low", "cost_high"]].tolist() == [0.5, 0.5]
    assert (levels.loc[2.0, ["runs", "episodes"]] == [2, 8]).all()
    # 95 % of the means of 4 of {4, 8}, two runs: each half the spread of one
    assert 4.5 <= levels.loc[2.0, "cost_low"] < 6.5 < levels.loc[2.0, "cost_high"] <= 8.5
    (threshold,) = found.thresholds.to_dict("records")
    assert threshold["threshold"] == pytest.approx(1.0 + 0.5 / 5.0)
    assert threshold["low"] < threshold["threshold"] < threshold["high"] < 2.0


def test_the_same_episodes_are_drawn_for_every_strength(tmp_path):
    """A constant shift between strengths then stays exactly constant in every resample."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 1, 10).round(3).tolist()
    cells = curve("a", "mass", {0.0: base, 1.0: [x + 3.0 for x in base]})
    levels = stress(read(folder_of(tmp_path, cells))).levels
    widths = (levels["cost_high"] - levels["cost_low"]).tolist()
    assert widths[0] > 0 and widths[0] == pytest.approx(widths[1])
    again = stress(read(tmp_path)).levels
    pd.testing.assert_frame_equal(levels, again)


def test_not_reached_no_limit_and_undisturbed_above_it(tmp_path):
    calm = curve("a", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4})
    found = stress(read(folder_of(tmp_path / "calm", calm)))
    assert "| not reached up to 1 |" in thresholds_markdown(found)
    assert found.thresholds["threshold"].tolist() == [np.inf]
    never = stress(read(folder_of(tmp_path / "free", calm, limit=None)))
    assert "| no limit |" in thresholds_markdown(never)
    wild = curve("a", "mass", {0.0: [3.0] * 4, 1.0: [9.0] * 4})
    assert stress(read(folder_of(tmp_path / "wild", wild))).thresholds["threshold"].tolist() == [0]
    rare = curve("a", "mass", {0.0: [0.0] * 4, 1.0: [0.0, 0.0, 0.0, 12.0]})
    (row,) = stress(read(folder_of(tmp_path / "rare", rare))).thresholds.to_dict("records")
    assert row["threshold"] == pytest.approx(2 / 3)
    assert np.isinf(row["high"]) and row["low"] < 0.5  # some resamples contain no cost


def test_methods_are_compared_on_the_same_layouts():
    """Two runs of one method, one of the other; only layouts and strengths common to all count."""
    costs = {  # method, run, strength: cost of each layout
        ("bsrp_lag", "a", 1.0): [0.0, 40.0, 90.0],
        ("bsrp_lag", "a", 2.0): [2.0, 42.0, 92.0],
        ("bsrp_lag", "b", 1.0): [2.0, 42.0, 92.0],
        ("bsrp_lag", "b", 2.0): [4.0, 44.0, 94.0],
        ("osrp_lag", "c", 1.0): [4.0, 46.0],
        ("osrp_lag", "c", 2.0): [6.0, 48.0],
        ("osrp_lag", "c", 3.0): [900.0, 900.0],
    }
    rows = [
        [method, run, TASK, TASK, "lidar", "mass", strength, layout, cost]
        for (method, run, strength), values in costs.items()
        for layout, cost in enumerate(values)
    ]
    columns = ["method", "run_id", "task", "own_task", "obs", "perturbation", "strength",
               "episode", "cost"]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    (row,) = costlier(frame, reps=100).to_dict("records")
    # layout 0: 5 - 2, layout 1: 47 - 42
    assert (row["a"], row["b"], row["difference"]) == ("osrp_lag", "bsrp_lag", 4.0)
    assert (row["low"], row["high"]) == (3.0, 5.0)
    even = frame.assign(perturbation="gain")
    even.loc[even["method"] == "osrp_lag", "cost"] = [1.0, 45.0, 3.0, 41.0, 0.0, 0.0]
    text = costlier_markdown(costlier(pd.concat([frame, even]), reps=100))
    assert text == (
        "- **OSRP-Lag and BSRP-Lag**, PointCircle1 (lidar): OSRP-Lag costs more under mass (4.0); "
        "no clear difference under gain.\n"
    )


def test_a_strength_that_one_run_lacks_is_left_out(tmp_path):
    cells = curve("a", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4, 2.0: [5.0] * 4})
    cells |= curve("b", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4})
    found = stress(read(folder_of(tmp_path, cells)))
    assert found.levels["strength"].tolist() == [0.0, 1.0]


def test_the_figure_shows_the_levels_the_limit_and_the_threshold(tmp_path):
    cells = curve("a", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4, 2.0: [5.0] * 4})
    cells |= curve("a", "gear", {0.0: [0.0] * 4, 0.5: [1.0] * 4})
    found = stress(read(folder_of(tmp_path, cells)))
    figure = figures.figure(found)
    assert [axes.get_title() for axes in figure.axes] == ["mass", "gear", "", ""]
    cost = figure.axes[2]
    (line,) = (line for line in cost.get_lines() if line.get_gid() == "cost osrp")
    assert list(line.get_xdata()) == [0.0, 1.0, 2.0] and list(line.get_ydata()) == [0.0, 1.0, 5.0]
    assert [t.get_text() for t in cost.texts] == ["limit 2"]
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["relative", "strength"]
    marks = [line.get_xdata()[0] for line in cost.get_lines() if line.get_linestyle() == ":"]
    assert marks == [pytest.approx(1.25)]


def test_tasks_have_panels_of_their_own(tmp_path):
    cells = curve("a", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4})
    cells |= {("b", OTHER, "none", 0.0): [0.0] * 4, ("b", OTHER, "mass", 1.0): [7.0] * 4}
    figure = figures.figure(stress(read(folder_of(tmp_path, cells))))
    titles = ["PointCircle1 (lidar)\nmass", "", "PointCircle2 (lidar)\nmass", ""]
    assert [axes.get_title() for axes in figure.axes] == titles
    costs = [
        [list(line.get_ydata()) for line in axes.get_lines() if line.get_gid() == "cost osrp"]
        for axes in figure.axes[1::2]
    ]
    assert costs == [[[0.0, 1.0]], [[0.0, 7.0]]]


def test_the_command_writes_figure_and_tables(tmp_path, capsys):
    cells = curve("a", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4, 2.0: [5.0] * 4})
    folder_of(tmp_path, cells)
    assert main(["stress", str(tmp_path), "--reps", "50"]) == 0
    shown = capsys.readouterr().out
    assert "| PointCircle1 (lidar) | mass | relative | 2 | 1.25 [1.25, 1.25] |" in shown
    names = {"stress.png", "stress.pdf", "levels.csv", "thresholds.csv", "stress.md"}
    assert names <= {file.name for file in tmp_path.iterdir()}
    text = (tmp_path / "stress.md").read_text()
    assert "| mass | 2 | 9.50 [" in text and "5.00 [5.00, 5.00] | 1 | 4 |" in text


def test_several_folders_are_drawn_together(tmp_path, capsys):
    for run, cost in (("a", 1.0), ("b", 3.0)):
        folder_of(tmp_path / run, curve(run, "mass", {0.0: [0.0] * 4, 1.0: [cost] * 4}))
    folders = [str(tmp_path / run) for run in "ab"]
    assert main(["stress", *folders, "--out", str(tmp_path / "both"), "--reps", "20"]) == 0
    assert "2.00 [2.00, 2.00] | 2 | 8 |" in (tmp_path / "both" / "stress.md").read_text()
    capsys.readouterr()
    assert main(["stress", folders[0], folders[0]]) == 2
    assert "two of the folders hold the same episodes" in capsys.readouterr().err


def test_transfer(tmp_path, capsys):
    cells = {("a", TASK, "none", 0.0): [0.0] * 4, ("a", OTHER, "none", 0.0): [6.0] * 4}
    table = matrix(read(folder_of(tmp_path, cells)))
    assert table[["own_task", "task", "cost"]].to_numpy().tolist() == [
        [TASK, TASK, 0.0],
        [TASK, OTHER, 6.0],
    ]
    assert main(["stress", str(tmp_path)]) == 0
    assert (
        "| OSRP | PointCircle1 (lidar) | 11.50 at 0.0 | 11.50 at 6.0 |" in capsys.readouterr().out
    )
    assert (tmp_path / "transfer.png").stat().st_size > 1000
    texts = {t.get_text() for t in figures.transfer(table).axes[0].texts}
    assert texts == {"11.5 at 0.0", "11.5 at 6.0 †"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "stress.csv").unlink(), "no records of a stress test at"),
        (lambda f: (f / "stress.csv").write_text("a,b\n1,2\n"), "expected the columns run_id"),
        (lambda f: (f / "stress.csv").write_text(",".join(STRESS_COLUMNS)), "holds no episode"),
        (
            lambda f: (f / "stress.json").write_text('{"units": {}, "runs": {}}'),
            "does not name the run a",
        ),
    ],
)
def test_damaged_folders_are_one_line(tmp_path, capsys, damage, message):
    folder_of(tmp_path, curve("a", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4}))
    damage(tmp_path)
    with pytest.raises((DamagedFile, FileNotFoundError), match=message):
        read(tmp_path)
    assert main(["stress", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_undisturbed_episodes_alone_draw_nothing(tmp_path, capsys):
    folder_of(tmp_path, curve("a", "mass", {0.0: [0.0] * 4}))
    assert main(["stress", str(tmp_path)]) == 2
    assert "there is nothing to draw" in capsys.readouterr().err


def test_cost_against_prediction_errors(tmp_path, capsys):
    cells = curve("a", "mass", {0.0: [0.0, 2.0], 1.0: [4.0, 8.0], 2.0: [9.0, 9.0]})
    cells |= curve("b", "mass", {0.0: [2.0, 4.0]})
    folder = with_errors(folder_of(tmp_path, cells), ERRORS)
    table = cost_and_errors(read(folder), read_errors(folder))
    found = table.set_index(["run_id", "perturbation", "steps_ahead"])
    assert len(found) == 6  # nothing was measured at strength 2
    assert found.loc[("a", "mass", 15), ["cost", "observation_error", "cost_error"]].tolist() == [
        6.0,
        0.8,
        0.04,
    ]
    assert found["reward_error"].isna().all() and (found["cost_limit"] == 2.0).all()
    figure = stress_errors.figure(table)
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "1 agent step ahead",
        "15 agent steps ahead",
    ]
    (points,) = (
        line
        for line in figure.axes[3].get_lines()
        if line.get_gid() == "cost_error osrp mass" and len(list(line.get_xdata()))
    )
    assert list(points.get_xdata()) == [0.04] and list(points.get_ydata()) == [6.0]
    lines = [list(line.get_xdata()) for line in figure.axes[0].get_lines()]
    assert [0.2, 0.4] in lines  # starting at the undisturbed cell
    assert main(["stress", str(tmp_path), "--reps", "20"]) == 0
    capsys.readouterr()
    assert (tmp_path / "errors.png").stat().st_size > 1000
    text = (tmp_path / "stress.md").read_text()
    # means of both runs
    assert (
        "| OSRP | PointCircle1 (lidar) | none | 0 | 2.00 | 0.300 | 0.500 | 0.020 | 0.030 |" in text
    )
    assert "| mass | 1 | 6.00 | 0.400 | 0.800 | 0.030 | 0.040 |" in text


def test_damaged_or_missing_prediction_errors(tmp_path):
    folder = folder_of(tmp_path, curve("a", "mass", {0.0: [0.0] * 4, 1.0: [1.0] * 4}))
    assert read_errors(folder).empty
    assert cost_and_errors(read(folder), read_errors(folder)).empty
    file = folder / "prediction_errors.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DamagedFile, match="expected the columns run_id"):
        read_errors(folder)
    file.write_text(",".join(ERROR_COLUMNS) + "\na,osrp,T,mass,1,8,one,1,1,1,1,1\n")
    with pytest.raises(DamagedFile, match="one"):
        read_errors(folder)


@pytest.mark.parametrize(
    ("text", "folder", "method", "perturbation", "strength"),
    [
        ("they cost 25.8", "", "osrp_lag", "action_gain", 0.1),
        ("and 15.0, at a *higher*", "", "bsrp_lag", "action_gain", 0.1),
        ("costs it 35.0", "", "ppo_lag", "sensor_noise", 0.05),
        ("a bias of 5 % 98.3", "", "ppo_lag", "sensor_bias", 0.05),
        ("OSRP-Lag up to 11.4", "", "osrp_lag", "damping", 3),
        ("earns as much, costs 96.6", "", "bsrp_lag", "action_gain", 0.2),
        ("and 10.3 under noise", "", "lambda", "sensor_noise", 0.3),
        ("they cost 32.1", "", "lambda", "lidar_blind", 0.125),
        ("and 61.9.", "", "safe_slac", "lidar_blind", 0.125),
        ("costs 207.9", "model", "osrp_lag", "dynamics_noise", 1),
        ("the actor 133.6", "model", "bsrp_lag", "dynamics_noise", 1),
        ("(1.7)", "model", "osrp_lag", "cost_bias", 0.5),
        ("it costs 15.1", "model", "osrp_lag", "cost_bias", 0.9),
        ("25.6 instead", "margin", "osrp_lag [planner.cost_margin=1.0]", "action_gain", 0.1),
        ("instead of 25.8", "", "osrp_lag", "action_gain", 0.1),
        ("10.0 instead", "margin", "osrp_lag [planner.cost_margin=1.0]", "mass", 0.25),
        ("instead of 10.6", "", "osrp_lag", "mass", 0.25),
    ],
)
def test_the_committed_readme_quotes_the_records(text, folder, method, perturbation, strength):
    readme = (ROOT / "results" / "stress" / "README.md").read_text(encoding="utf-8")
    assert text in " ".join(readme.split())
    frame = read(ROOT / "results" / "stress" / folder)
    cell = frame[
        (frame["method"] == method)
        & (frame["perturbation"] == perturbation)
        & (frame["strength"] == strength)
    ]
    (number,) = re.findall(r"\d+\.\d", text)
    assert f"{cell['cost'].mean():.1f}" == number
