"""The diagnosis figure.

What its lines show, what panels without data display, and that text does not overlap.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.commands.main import main
from analysis.figures import diagnosis
from analysis.read.diagnosis import read
from benchmarks.diagnosis.calibration import calibration
from benchmarks.diagnosis.findings import Finding, write
from benchmarks.runs.reading import DamagedFile
from benchmarks.runs.records import FINDING_COLUMNS
from tests.tree import ROOT

HORIZON = 15
MODEL_ERRORS = ROOT / "results" / "model_errors"


def findings() -> list[Finding]:
    """Findings of a BSRP-Lag run on coordinates: model errors grow with the steps ahead,
    and imagined costs are too low.
    """
    found = []
    for k in range(HORIZON + 1):
        for predictor, scale in (("model", 0.02), ("last seen", 0.1), ("mean", 1.0)):
            error = scale * (k if predictor != "mean" else 1)
            found.append(Finding("observation root mean square error", k, error, predictor))
            found.append(Finding("reward root mean square error", k, error, predictor))
            if predictor != "mean":
                found.append(
                    Finding("hazards nearer than 0.6 m: error in metres", k, error, predictor)
                )
                found.append(Finding("goal: error in metres", k, 2 * error, predictor))
                found.append(Finding("reward correlation", k, 1 - error / 2, predictor))
                found.append(Finding("cost precision", k, 1 - error / 2, predictor))
                found.append(Finding("cost recall", k, 1 - error / 2.5, predictor))
    rng = np.random.default_rng(0)
    chance = rng.random((2000, HORIZON + 1))
    found += calibration(
        "cost probability", chance, (rng.random(chance.shape) < chance).astype(float), 10
    )
    found.append(Finding("cost limit", -1, 2.0))
    for steps in (1000, 2000, 3000):
        found.append(Finding("training: episode cost", -1, 60.0, env_steps=steps))
        found.append(
            Finding("training: imagined episode cost", -1, 20.0 - 0.01 * steps, env_steps=steps)
        )
        found.append(Finding("training: multiplier", -1, 1e-3 * steps, env_steps=steps))
    found.append(Finding("training: evaluated episode cost", -1, 50.0, env_steps=3000))
    return found


def frame(found: list[Finding], tmp_path) -> pd.DataFrame:
    write(tmp_path / "diagnosis.csv", found, env_steps=3000)
    return pd.read_csv(tmp_path / "diagnosis.csv")


def panel(figure, letter: str):
    (axes,) = (axes for axes in figure.axes if axes.get_title(loc="left").startswith(f"{letter}  "))
    return axes


def line(axes, gid: str):
    (found,) = (line for line in axes.lines if line.get_gid() == gid)
    return found


def texts(axes) -> str:
    return " ".join(text.get_text() for text in axes.texts)


def test_the_table_keeps_what_is_written(tmp_path):
    table = frame(findings(), tmp_path)
    assert tuple(table.columns) == FINDING_COLUMNS
    assert set(table.loc[table["quantity"].str.startswith("training"), "env_steps"]) == {
        1000,
        2000,
        3000,
    }
    assert set(table.loc[table["steps_ahead"] >= 0, "env_steps"]) == {3000}


@pytest.mark.parametrize("column", FINDING_COLUMNS)
def test_a_table_without_one_of_its_columns_is_damaged(tmp_path, column):
    frame(findings(), tmp_path).drop(columns=column).to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(DamagedFile, match=f"it lacks the columns {column}"):
        read(tmp_path / "less.csv")


def test_lines_show_the_findings(tmp_path):
    figure = diagnosis.diagnosis(frame(findings(), tmp_path), "a title")
    steps = np.arange(HORIZON + 1)
    goal = line(panel(figure, "a"), "last seen: goal: error in metres")
    np.testing.assert_allclose(goal.get_xydata(), np.stack([steps, 0.2 * steps], 1))
    # relative to the mean predictor's 1.0
    relative = line(panel(figure, "b"), "model: reward root mean square error")
    np.testing.assert_allclose(relative.get_ydata(), 0.02 * steps)
    np.testing.assert_allclose(
        line(panel(figure, "c"), "model: cost recall").get_ydata(), 1 - 0.008 * steps
    )
    imagined = line(panel(figure, "e"), "training: imagined episode cost")
    np.testing.assert_allclose(imagined.get_xydata(), [[1000, 10.0], [2000, 0.0], [3000, -10.0]])
    assert panel(figure, "e").get_ylim()[0] < -10  # negative predictions stay visible
    assert line(panel(figure, "e"), "cost limit").get_ydata()[0] == 2.0
    (multiplier,) = (axes for axes in figure.axes if axes.get_ylabel() == "multiplier")
    np.testing.assert_allclose(
        line(multiplier, "training: multiplier").get_ydata(), [1.0, 2.0, 3.0]
    )
    assert multiplier.get_xlim() == panel(figure, "e").get_xlim()


def test_a_calibrated_model_lies_on_the_diagonal(tmp_path):
    axes = panel(diagnosis.diagnosis(frame(findings(), tmp_path)), "d")
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [text.split(":")[0] for text in legend] == ["0 ahead", "1 ahead", "5 ahead", "15 ahead"]
    points = np.concatenate(
        [scatter.get_offsets() for scatter in axes.collections if len(scatter.get_offsets()) == 10]
    )
    assert points.shape == (40, 2)
    assert np.abs(points[:, 0] - points[:, 1]).max() < 0.12  # 200 steps a bin: 3.3 standard errors


def test_what_counts_hazards_is_not_called_a_probability(tmp_path):
    found = [
        f._replace(quantity=f.quantity.replace("cost probability", "soft hazard count"))
        for f in findings()
    ]
    axes = panel(diagnosis.diagnosis(frame(found, tmp_path)), "d")
    assert axes.get_xlabel() == "soft hazard count (at most 1)"
    assert all("gap" in text.get_text() for text in axes.get_legend().get_texts())


def test_cameras_are_drawn_where_no_positions_are_known(tmp_path):
    found = [f for f in findings() if "metres" not in f.quantity]
    found += [Finding(f"{name} root mean square error", 1, 0.3) for name in ("image", "image2")]
    axes = panel(diagnosis.diagnosis(frame(found, tmp_path)), "a")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["image", "image2"]
    assert axes.get_ylabel() == "root mean square error"


def test_panels_without_data_say_so(tmp_path):
    nothing = Finding("reward critic", -1, 1.0)
    figure = diagnosis.diagnosis(frame([nothing], tmp_path))
    said = {letter: texts(panel(figure, letter)) for letter in "abcdef"}
    assert "no observation was predicted" in said["a"]
    assert "the reward never changed" in said["b"]
    assert "nothing cost in these episodes" in said["c"]
    assert "no cost probabilities to calibrate" in said["d"]
    assert "no history of training" in said["e"]
    assert "no plans: the actor decides" in said["f"]


def test_missing_recall_is_explained(tmp_path):
    found = [f for f in findings() if f.quantity != "cost recall"]
    assert texts(panel(diagnosis.diagnosis(frame(found, tmp_path)), "c")) == (
        "no recall:\nnothing cost in these episodes"
    )


@pytest.mark.parametrize("plans", [False, True])
def test_text_does_not_overlap(tmp_path, plans):
    found = findings()
    if plans:
        found += [
            Finding("training: episode cost that plans promised", -1, 1.0, env_steps=s)
            for s in (1000, 2000)
        ]
        found += [
            Finding("training: share of safe plans", -1, 0.5, env_steps=s) for s in (1000, 2000)
        ]
        found += [
            Finding("training: share of decisions without any safe plan", -1, 0.1, env_steps=s)
            for s in (1000, 2000)
        ]
    figure = diagnosis.diagnosis(
        frame(found, tmp_path),
        "osrp_lag on SafetyPointGoal1-v0 (coordinates) after 100,000 simulator steps",
    )
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    artists = [
        artist
        for axes in figure.axes
        for artist in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label)
    ]
    artists += [
        text for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()
    ]
    artists += [*figure.legends[0].get_texts(), figure._suptitle]
    for axes in figure.axes:
        inside = axes.get_window_extent(renderer).padded(1.0)
        ticks = [
            (label, label.get_window_extent(renderer))
            for label in axes.get_xticklabels() + axes.get_yticklabels()
        ]
        middle = [(label, (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for label, box in ticks]
        artists += [
            t
            for t, x, y in middle
            if t.get_visible() and (inside.x0 < x < inside.x1 or inside.y0 < y < inside.y1)
        ]
    boxes = [
        (artist.get_text(), artist.get_window_extent(renderer))
        for artist in artists
        if artist.get_text()
    ]
    assert len(boxes) > 60
    for index, (text, box) in enumerate(boxes):
        assert (
            box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1
        ), text
        for other, second in boxes[:index]:
            assert not box.overlaps(second), (text, other)


def test_a_file_that_is_no_diagnosis_is_refused(tmp_path, capsys):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    assert main(["diagnosis", str(tmp_path / "x.csv")]) == 2
    assert "columns" in capsys.readouterr().err and not (tmp_path / "x.png").exists()
    assert main(["diagnosis", str(tmp_path / "nowhere.csv")]) == 2


def test_the_reliability_panel_draws_the_intervals_of_the_file(tmp_path):
    found = [f for f in findings() if np.isnan(f.bin_low)]
    for low, seen in ((0.2, 0.3), (0.8, 0.7)):
        values = {"steps in bin": 100, "mean prediction": low + 0.05, "observed frequency": seen}
        if low == 0.2:  # the other bin occurs in too few episodes
            values |= {"frequency low": 0.1, "frequency high": 0.6}
        found += [
            Finding(f"cost probability: {name}", 0, value, bin_low=low)
            for name, value in values.items()
        ]
    axes = panel(diagnosis.diagnosis(frame(found, tmp_path)), "d")
    (bars,) = (c for c in axes.containers if c.has_yerr)
    drawn, *nothing = sorted(bars[2][0].get_segments(), key=len, reverse=True)
    np.testing.assert_allclose(drawn, [[0.25, 0.1], [0.25, 0.6]])
    assert [len(segment) for segment in nothing] == [0]


MODELS = {"Dyna-Lag": "dyna_lag", "MVE-Lag": "mve_lag", "MBPO-Lag": "mbpo_lag"}


def rows_of(first: str) -> list[list[str]]:
    """Cells of the table rows in the committed README that begin with `first`."""
    lines = (MODEL_ERRORS / "README.md").read_text(encoding="utf-8").splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith(f"| {first}")]


@pytest.mark.parametrize("method", MODELS)
def test_the_committed_table_of_model_errors_is_that_of_its_file(method):
    frame = pd.read_csv(MODEL_ERRORS / f"{MODELS[method]}.csv")
    for quantity, name in (
        ("lidar", "circle_lidar root mean square error"),
        ("summed reward", "summed reward: error"),
        ("summed cost", "summed cost: error"),
    ):
        of = frame[frame["quantity"] == name]
        model = of["predictor"] == "model"
        for label, chosen in ((method, of[model]), (f"{method}, no model", of[~model])):
            best = chosen.groupby("steps_ahead")["value"].min()
            said = [f"{best[k]:.2g}" for k in (1, 2, 3, 5, 10, 15)]
            assert rows_of(f"{quantity}, {label} |") == [[f"{quantity}, {label}", *said]]


def test_the_committed_growth_of_model_errors_is_that_of_the_files():
    docs = (ROOT / "docs" / "concepts" / "model_based_rl.md").read_text(encoding="utf-8")
    for column, (method, file) in enumerate(MODELS.items(), start=1):
        frame = pd.read_csv(MODEL_ERRORS / f"{file}.csv")
        rewards = frame[frame["quantity"] == "summed reward: error"]
        model = rewards["predictor"] == "model"
        own, others = (
            rows.groupby("steps_ahead")["value"].min() for rows in (rewards[model], rewards[~model])
        )
        worse = [k for k in range(1, 16) if own[k] > others[k]]
        said = str(worse[0] - 1) if worse else "15 or more"
        assert rows_of("steps for which the model's summed reward")[0][column] == said
        for first, name in (("its error grows", "reward"), ("that of the summed cost", "cost")):
            growth = frame["quantity"] == f"summed {name}: error grows with steps to the power"
            power = f"{frame.loc[growth, 'value'].item():.2f}"
            assert rows_of(first)[0][column] == power
            assert name == "cost" or f"{power} ({method})" in docs.replace("\n", " ")
