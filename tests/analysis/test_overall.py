"""Figures over all tasks, of ablations and of the paper.

What they show, what they say when something is missing, that text fits.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from analysis import synthetic
from analysis.figures import ablations as ablation_figures
from analysis.figures import curves, gallery, grid, overall, paper, style
from analysis.figures.gallery import GalleryConfig
from analysis.read.results import Results
from analysis.statistics import ablations, aggregates, metrics, timing
from tests.analysis_runs import write_run

FEW = GalleryConfig(reps=20, pair_reps=20)
POINT, CAR = ("SafetyPointGoal1-v0", "vision"), ("SafetyCarGoal1-v0", "vision")


def made(methods, tasks=(POINT, CAR), seeds=3, **changes) -> Results:
    return synthetic.results(
        methods=tuple(methods),
        tasks=tuple(tasks),
        seeds=seeds,
        steps=20_000,
        evaluations=4,
        **changes,
    )


def inside(figure) -> list[str]:
    """Axes and legends that reach beyond the figure."""
    FigureCanvasAgg(figure).draw()
    whole = figure.bbox
    artists = [*figure.axes, *figure.legends, *filter(None, [figure._suptitle])]
    boxes = [(artist, artist.get_tightbbox(figure.canvas.get_renderer())) for artist in artists]
    return [
        str(a)
        for a, b in boxes
        if b.x0 < -1 or b.y0 < -1 or b.x1 > whole.x1 + 1 or b.y1 > whole.y1 + 1
    ]


# -- style -----------------------------------------------------------------------------------------

# Machado, Oliveira, Fernandes (2009), A Physiologically-based Model for Simulation of Color Vision
# Deficiency, severity 1.0
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(color: str, sight: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as someone sees it."""
    srgb = np.array(to_rgb(color))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(SIGHT[sight]) @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ seen / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart(sight):
    seen = {name: lab(look.color, sight) for name, look in style.METHODS.items()}
    nearest = min(
        (np.linalg.norm(seen[a] - seen[b]), a, b) for a, b in itertools.combinations(seen, 2)
    )
    assert nearest[0] > 13.0, nearest  # of 2.3 that can just be told apart


def test_looks_differ_in_grey():
    looks = {(str(look.line), look.marker) for look in style.METHODS.values()}
    assert len(looks) == len(style.METHODS)


def test_hundred_variants_have_different_looks():
    labels = [f"osrp [planner.horizon={i}]" for i in range(100)]
    looks = style.method_styles(labels)
    assert len({(look.color, str(look.line), look.marker) for look in looks.values()}) == 100
    assert looks[labels[5]].label == "OSRP [planner.horizon=5]"


def test_saved_in_all_formats_with_the_same_bytes(tmp_path):
    results = made(["osrp"], [POINT])
    for name in ("a", "b"):
        style.save(curves.curves(results), tmp_path / name)
    for ending, start in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
        first = (tmp_path / f"a.{ending}").read_bytes()
        assert first.startswith(start)
        assert first == (tmp_path / f"b.{ending}").read_bytes()


# -- over all tasks --------------------------------------------------------------------------------


def frame(**values) -> pd.DataFrame:
    rows = [(name, "IQM", *numbers) for name, numbers in values.items()]
    return pd.DataFrame(rows, columns=["method", "statistic", "value", "low", "high", "trusted"])


def test_bars_have_intervals_only_where_they_can_be_trusted():
    figure = overall.bars(
        {"return": frame(osrp=(10.0, 9.0, 12.0, True), cem=(5.0, np.nan, np.nan, False))}, ["IQM"]
    )
    (axes,) = figure.axes
    (interval,) = [
        line for line in axes.lines if line.get_gid() and line.get_gid().startswith("interval")
    ]
    assert interval.get_xdata().tolist() == [9.0, 12.0]
    widths = {bar.get_gid(): (bar.get_width(), bar.get_facecolor()[:3]) for bar in axes.patches}
    assert widths["bar osrp"] == (10.0, to_rgb(style.METHODS["osrp"].color))
    assert widths["bar cem"] == (5.0, (1.0, 1.0, 1.0))  # hollow
    assert axes.get_xlabel() == "Episode return ↑"
    assert inside(figure) == []


def test_pareto_front():
    #                 a    b    c    d    e
    cost = np.array([0.0, 1.0, 2.0, 2.0, 3.0])
    gain = np.array([1.0, 0.5, 3.0, 2.0, 3.0])
    assert overall.pareto(cost, gain) == [0, 2]
    assert overall.pareto(np.array([]), np.array([])) == []


def test_scatter_marks_limit_and_front():
    scores = metrics.scores(made(["osrp", "dreamerv3", "lambda"]))
    across, up = (
        aggregates.aggregate(scores, m, reps=20).query("statistic == 'IQM'")
        for m in ("cost_over_limit", "return")
    )
    figure = overall.scatter(scores, across, up, y="return")
    (axes,) = figure.axes
    (front,) = [line for line in axes.lines if line.get_gid() == "front"]
    ends = across.set_index("method")["value"]
    # LAMBDA: less return at more cost than OSRP
    assert front.get_xdata().tolist() == [ends["osrp"], ends["dreamerv3"]]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-2:] == [
        "Pareto front",
        "cost limit",
    ]
    assert inside(figure) == []


def test_improvement_matrix_is_read_by_row():
    pair = pd.DataFrame(
        [("osrp", "cem", 0.9, 0.8, 1.0)], columns=["x", "y", "probability", "low", "high"]
    )
    figure = overall.improvement(pair, "return")
    texts = {
        tuple(map(int, t.get_position())): (t.get_text(), t.get_fontweight())
        for t in figure.axes[0].texts
    }
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["CEM (unsafe)", "OSRP"]
    assert texts == {(0, 1): ("0.90", "bold"), (1, 0): ("0.10", "bold")}  # (column, row)
    assert inside(figure) == []


def test_profiles_of_costs_say_at_most():
    scores = metrics.scores(made(["osrp", "ppo_lag"]))
    figure = overall.profiles(
        aggregates.profiles(scores, "cost", np.linspace(0, 50, 20), reps=20), "cost", threshold=2.0
    )
    assert figure.axes[0].get_ylabel() == "Share of runs ≤ τ"
    assert inside(figure) == []


# -- grid ------------------------------------------------------------------------------------------


def test_grid_keeps_empty_panels_and_says_so():
    figure = grid.grid(made(["osrp", "ppo"], [POINT]), tasks=[POINT, CAR], methods=["osrp", "cem"])
    titles = [axes.get_title() for axes in figure.axes[::2]]
    assert titles == ["PointGoal1 (vision)", "CarGoal1 (vision)"]
    assert [text.get_text() for axes in figure.axes[2:] for text in axes.texts] == [
        "no runs",
        "no runs",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "CEM (unsafe) (0 seeds)",
        "OSRP (3 seeds)",
        "cost limit",
    ]
    (mean,) = [line for line in figure.axes[0].lines if line.get_gid() == "mean"]
    assert mean.get_color() == style.METHODS["osrp"].color
    assert inside(figure) == []


@pytest.mark.parametrize("tasks", [1, 2, 7])
def test_grid_fits_its_page(tasks):
    results = synthetic.results(methods=12, tasks=tasks, seeds=3, steps=10_000, evaluations=3)
    figure = grid.grid(results)
    assert figure.get_figwidth() <= style.PAGE
    assert inside(figure) == []


# -- ablations -------------------------------------------------------------------------------------


def cell_scores(values: dict[str, float], seeds: int = 3) -> pd.DataFrame:
    rows = [
        (label, *POINT, seed, value + 0.1 * (seed - 1))
        for label, value in values.items()
        for seed in range(seeds)
    ]
    table = pd.DataFrame(rows, columns=["method", "task", "obs", "seed", "return"])
    return table.assign(cost=table["return"], run=[f"r{i}" for i in range(len(table))])


SQUARE = {
    "osrp [planner, no multiplier]": 10.0,
    "osrp [planner, augmented]": 8.0,
    "bsrp_lag [actor, no multiplier]": 6.0,
    "bsrp_lag [actor, augmented]": 1.0,
    "osrp_lag [planner, PID, no filter]": 3.0,
}


def test_effects_by_hand():
    found = ablations.square(cell_scores(SQUARE), "return")
    assert (found.multiplier, found.tasks) == ("augmented", 1)
    table = ablations.effects(found, "return").set_index("effect")
    # planner (8 + 10 - 1 - 6) / 2, multiplier (8 - 10 + 1 - 6) / 2, interaction ((8 - 10) - (1 -
    # 6)) / 2
    assert table["value"].round(9).to_dict() == {
        "planner": 5.5,
        "multiplier": -3.5,
        "interaction": 1.5,
    }
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()
    assert (table["high"] - table["low"] < 0.3).all()  # seeds differ by 0.2 at most


def test_two_seeds_give_effects_without_intervals():
    table = ablations.effects(ablations.square(cell_scores(SQUARE, seeds=2), "return"), "return")
    assert table[["low", "high"]].isna().all(axis=None)


def test_plain_methods_stand_in_where_the_suite_was_not_run():
    values = {"dreamerv3": 20.0, "bsrp_lag": 13.0, "osrp": 14.0, "osrp_lag": 18.0}
    found = ablations.square(cell_scores(values), "return")
    assert found.multiplier == "its own"
    table = ablations.effects(found, "return").set_index("effect")
    np.testing.assert_allclose(table["value"], [-0.5, -1.5, 5.5])
    assert ablations.square(cell_scores({"osrp": 1.0}), "return") is None
    figure = ablation_figures.contribution(cell_scores({"osrp": 1.0, "osrp_lag": 2.0}))
    assert "no task has all four" in figure.axes[1].texts[0].get_text()
    assert inside(figure) == []


def test_contribution_draws_every_combination():
    figure = ablation_figures.contribution(cell_scores(SQUARE))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "actor",
        "planner",
        "planner, no filter",
    ]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["none", "augmented", "PID"]
    assert inside(figure) == []


def test_budgets_and_limits_are_read_from_labels():
    label = "osrp_lag [planner.candidates=100 planner.iterations=2 planner.horizon=5]"
    scores = cell_scores({label: 4.0, "osrp [cost_limit=5]": 7.0, "osrp": 1.0})
    table = ablations.budgets(scores, pd.Series({"r0": 2.5}))
    assert table[["method", "candidates", "iterations", "horizon", "model_steps"]].iloc[
        0
    ].tolist() == [
        "osrp_lag",
        100,
        2,
        5,
        1000,
    ]
    assert table["act_ms"].tolist()[0] == 2.5 and table["act_ms"].isna().sum() == 2
    assert ablations.limits(scores)[["method", "cost_limit"]].drop_duplicates().values.tolist() == [
        ["osrp", 5.0]
    ]
    for draw in (ablation_figures.budget, ablation_figures.cost_limits):
        assert inside(draw(scores)) == []
        with pytest.raises(ValueError, match="no run of ablation-"):
            draw(scores[scores["method"] == "osrp"])


def test_milliseconds_per_action_ignore_compilation(tmp_path):
    lines = [
        '{"agent_steps": 100, "time/act": 9.0}',
        '{"agent_steps": 200, "time/act": 0.2}',
        '{"agent_steps": 300, "time/act": 0.3}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"agent_steps": 4')
    found = timing.act_ms({"a": tmp_path, "b": tmp_path / "nothing"})
    assert found["a"] == 3.0  # median of 90, 2 and 3
    assert np.isnan(found["b"])


# -- gallery and paper -----------------------------------------------------------------------------


def test_gallery_draws_what_there_is_and_names_what_is_not():
    results = made(["osrp", "osrp_lag", "ppo"], seeds=3)
    pictures = list(gallery.gallery(results, metrics.scores(results), FEW))
    assert len({picture.name for picture in pictures}) == len(pictures)
    missing = {picture.name: picture.caption for picture in pictures if picture.figure is None}
    assert missing.keys() == {"ablation-planner-budget", "ablation-cost-limit"}
    assert "Suite `ablation-cost-limit` makes them" in missing["ablation-cost-limit"]
    for picture in pictures:
        assert picture.figure is None or inside(picture.figure) == [], picture.name


def test_gallery_of_runs_without_evaluations(tmp_path):
    from analysis.read.load import load

    write_run(tmp_path / "a", "osrp", train=[(1000, 1.0, 0.0)])
    results = load([tmp_path])
    pictures = {
        picture.name: picture for picture in gallery.gallery(results, metrics.scores(results), FEW)
    }
    assert pictures["aggregates"].figure is None
    assert pictures["aggregates"].caption == "No run has evaluations yet."


def test_paper_counts_seeds_and_names_empty_panels():
    results = made(
        ["osrp", "osrp_lag", "lambda"], [POINT, ("SafetyPointGoal2-v0", "vision")], seeds=2
    )
    listed = paper.panels(results).set_index(["figure", "task", "obs", "method"])
    assert listed.loc[("vision-model-based", *POINT, "lambda")].tolist() == [2, "", paper.FEW]
    assert listed.loc[("vision-model-based", *CAR, "lambda")].tolist() == [0, "", paper.EMPTY]
    assert len(listed) == 5 * 6 + 5 * 11 + 2 * 13
    pictures = {
        picture.name: picture for picture in paper.pictures(results, metrics.scores(results), FEW)
    }
    assert pictures["vector"].figure is None
    assert (
        "CarGoal1 (vision): empty, no evaluated run of 6 methods."
        in pictures["vision-model-based"].caption
    )
    assert (
        "seeds OSRP 2, OSRP-Lag 2, LAMBDA 2; empty: BSRP-Lag"
        in pictures["vision-model-based"].caption
    )
    assert len(pictures["vision-model-based"].figure.axes) == 10  # five tasks, drawn or empty
    assert "| CarGoal1 (vision) | – |" in paper.panels_markdown(paper.panels(results))
    assert inside(pictures["vision-model-based"].figure) == []


def test_model_free_methods_stand_beside_vision_with_what_they_see():
    results = made(["osrp"], [POINT], seeds=1)
    blind = made(["ppo_lag", "lambda"], [(POINT[0], "lidar")], seeds=3)
    both = Results(*(pd.concat(frames, ignore_index=True) for frames in zip(results, blind)))
    listed = paper.panels(both).set_index(["figure", "task", "obs", "method"])
    assert listed.loc[("vision-model-free", *POINT, "ppo_lag")].tolist() == [3, "lidar", paper.FULL]
    # it has eyes: no stand-in
    assert listed.loc[("vision-model-based", *POINT, "lambda")].tolist() == [0, "", paper.EMPTY]
    pictures = {
        picture.name: picture for picture in paper.pictures(both, metrics.scores(both), FEW)
    }
    assert "OSRP 1, PPO-Lag 3 (from lidar)" in pictures["vision-model-free"].caption
    assert (
        len(
            [
                line
                for line in pictures["vision-model-free"].figure.axes[0].lines
                if line.get_gid() == "mean"
            ]
        )
        == 1
    )
    assert "| PointGoal1 (vision) | 1 | – | – | – | 3 lidar |" in paper.panels_markdown(
        paper.panels(both)
    )
