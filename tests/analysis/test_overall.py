"""Figures over all tasks, of ablations and of the paper.

What they show, how they report missing data, and that text fits.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis import synthetic
from analysis.figures import ablations as ablation_figures
from analysis.figures import curves, gallery, overall, style
from analysis.figures import paper as paper_figures
from analysis.figures.gallery import GalleryConfig
from analysis.figures.panels import axis_label
from analysis.figures.scatter import pareto, scatter
from analysis.read.load import load
from analysis.results.frames import Results
from analysis.results.judge import join_observations
from analysis.statistics import ablations, aggregates, metrics, paper, references, series, timing
from analysis.tables import paper as paper_tables
from analysis.tables.comparison import aggregates_table
from benchmarks.cli.defaults import task_settings
from benchmarks.suites.reading import load as read_suite
from benchmarks.suites.suite import expand
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
    """CIE L*a*b* (D65) of a colour under one kind of colour vision."""
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
    assert nearest[0] > 13.0, nearest  # 2.3 is just noticeable


def test_looks_differ_in_grey():
    looks = {(str(look.line), look.marker) for look in style.METHODS.values()}
    assert len(looks) == len(style.METHODS)


def test_hundred_variants_have_different_looks():
    labels = [f"osrp [planner.horizon={i}]" for i in range(100)]
    looks = style.method_styles(labels)
    assert len({(look.color, str(look.line), look.marker) for look in looks.values()}) == 100
    assert looks[labels[5]].label == "OSRP [planner.horizon=5]"


def test_saved_in_all_formats_with_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        figure = Figure(figsize=(2, 1), layout="constrained")
        figure.add_subplot().plot([0, 1], [1, 0], label="$x$")
        figure.legend()
        style.save(figure, tmp_path / name)
    for ending, start in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
        first = (tmp_path / f"a.{ending}").read_bytes()
        assert first.startswith(start)
        assert first == (tmp_path / f"b.{ending}").read_bytes()


# -- over all tasks --------------------------------------------------------------------------------


def frame(**values) -> pd.DataFrame:
    rows = [(name, "IQM", *numbers) for name, numbers in values.items()]
    return pd.DataFrame(rows, columns=["method", "statistic", "value", "low", "high", "trusted"])


def test_estimates_have_intervals_only_where_they_can_be_trusted():
    table = frame(osrp=(10.0, 9.0, 12.0, True), cem=(5.0, np.nan, np.nan, False),
                  lambda_=(np.nan, np.nan, np.nan, False))  # fmt: skip
    figure = overall.intervals({"IQM": table}, axis_label("return"))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "CEM (unsafe)", "OSRP", "lambda_"
    ]  # fmt: skip
    cem, osrp, nothing = axes.patches  # one interval per method
    assert np.isnan(cem.get_width()) and np.isnan(nothing.get_width())
    assert (osrp.get_x(), osrp.get_width()) == (9.0, 3.0)
    assert osrp.get_facecolor()[:3] == to_rgb(style.METHODS["osrp"].color)
    estimates = [stroke.get_segments()[0][:, 0].tolist() for stroke in axes.collections[:2]]
    assert estimates == [[5.0, 5.0], [10.0, 10.0]]
    # without a bar the stroke has the method's colour
    assert tuple(axes.collections[0].get_color()[0][:3]) == to_rgb(style.METHODS["cem"].color)
    assert [text.get_text() for text in axes.texts] == ["no runs"]
    assert figure.get_supxlabel() == "Episode return ↑"
    assert inside(figure) == []


def test_pareto_front():
    #                 a    b    c    d    e
    cost = np.array([0.0, 1.0, 2.0, 2.0, 3.0])
    gain = np.array([1.0, 0.5, 3.0, 2.0, 3.0])
    assert pareto(cost, gain) == [0, 2]
    assert pareto(np.array([]), np.array([])) == []


def test_scatter_marks_limit_and_front():
    scores = metrics.scores(made(["osrp", "dreamerv3", "lambda"]))
    across, up = (
        aggregates.aggregate(scores, m, reps=20).query("statistic == 'IQM'")
        for m in ("cost_over_limit", "return")
    )
    figure = scatter(scores, across, up, y="return")
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
        aggregates.profiles(scores, "cost", np.linspace(0, 50, 20), reps=20), "cost"
    )
    assert figure.axes[0].get_ylabel() == "Share of runs ≤ τ"
    drawn = {line.get_gid(): line for line in figure.axes[0].lines}
    assert drawn.keys() == {"osrp", "ppo_lag"}
    osrp, ppo_lag = (drawn[name].get_ydata() for name in ("osrp", "ppo_lag"))
    assert osrp[-1] == ppo_lag[-1] == 1.0 and (osrp >= ppo_lag).all()
    assert drawn["osrp"].get_linestyle() == "-" and drawn["osrp"].get_marker() == "^"
    assert inside(figure) == []


def test_sample_efficiency_is_the_iqm_at_each_step():
    rows = [
        ("osrp", *POINT, f"r{seed}", step, float(seed + step))
        for seed in range(4)
        for step in (0, 10)
    ]
    columns = ["method", "task", "obs", "run", "env_steps", "return"]
    points = pd.DataFrame(rows, columns=columns)
    table = aggregates.efficiency(points, "return", steps=3, reps=50)
    assert table["env_steps"].tolist() == [0, 5, 10]
    # of seeds 0 to 3 the middle two remain: 1.5 + step; linear between evaluations
    assert table["value"].tolist() == [1.5, 6.5, 11.5]
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()
    few = aggregates.efficiency(points[points["run"] < "r2"], "return", steps=3, reps=50)
    assert few["value"].tolist() == [0.5, 5.5, 10.5] and few["low"].isna().all()
    # a task that the other method lacks does not count
    other = points.assign(method="cem", task="SafetyCarGoal1-v0")
    assert aggregates.efficiency(pd.concat([points, other]), "return").empty


def test_sample_efficiency_draws_return_and_cost_up_to_the_shortest_run():
    results = made(["osrp", "ppo_lag"])
    points = series.metric_points(results, references.references(results))
    frames = {m: aggregates.efficiency(points, m, reps=20) for m in ("return", "cost_over_limit")}
    figure = overall.efficiency(frames)
    gain, cost = figure.axes
    drawn = {line.get_gid(): line for line in gain.lines}
    wanted = frames["return"].set_index("method").loc["ppo_lag"]
    np.testing.assert_array_equal(drawn["ppo_lag"].get_xdata(), wanted["env_steps"])
    np.testing.assert_array_equal(drawn["ppo_lag"].get_ydata(), wanted["value"])
    assert drawn["osrp"].get_color() == style.METHODS["osrp"].color
    assert len(gain.collections) == 2  # bands
    (limit,) = [line for line in cost.lines if line.get_gid() == "cost limit"]
    assert set(limit.get_ydata()) == {1.0}
    assert [text.get_text() for text in cost.texts] == ["cost = limit"]
    assert inside(figure) == []


def test_profiles_of_many_methods_are_spread_over_rows_with_the_same_axes():
    names = ["dreamerv3", "cem", "osrp", "osrp_lag", "bsrp_lag", "lambda", "cpo"]
    frame = aggregates.profiles(metrics.scores(made(names)), "cost", np.linspace(0, 50, 9), reps=20)
    figure = overall.profiles(frame, "cost")
    above, below = figure.axes
    shown = [[line.get_gid() for line in one.lines] for one in figure.axes]
    assert shown == [names[:4], names[4:]]
    legends = [[t.get_text() for t in one.get_legend().get_texts()] for one in figure.axes]
    assert legends == [[style.METHODS[name].label for name in row] for row in shown]
    assert (above.get_xlim(), above.get_ylim()) == (below.get_xlim(), below.get_ylim())
    assert below.get_xscale() == "symlog"  # values near the limit matter most
    assert inside(figure) == []


def test_sample_efficiency_of_many_methods_is_spread_over_rows_with_the_same_axes():
    names = ["dreamerv3", "cem", "osrp", "osrp_lag", "bsrp_lag", "lambda", "cpo"]
    results = made(names)
    points = series.metric_points(results, references.references(results))
    frames = {m: aggregates.efficiency(points, m, reps=20) for m in ("return", "cost_over_limit")}
    figure = overall.efficiency(frames)
    gain, cost, gain_below, cost_below = figure.axes
    shown = [[line.get_gid() for line in one.lines if line.get_gid()] for one in figure.axes[::2]]
    assert shown == [names[:4], names[4:]]
    legends = [[text.get_text() for text in one.get_legend().get_texts()] for one in
               (cost, cost_below)]  # fmt: skip
    assert legends == [[style.METHODS[name].label for name in row] for row in shown]
    assert (gain.get_ylim(), cost.get_ylim()) == (gain_below.get_ylim(), cost_below.get_ylim())
    assert [one.get_xlabel() for one in figure.axes] == ["", "", *["Simulator steps"] * 2]
    assert inside(figure) == []


# -- methods that are given their costs ------------------------------------------------------------


def test_given_costs_never_share_a_row_or_a_cell_with_learned_ones():
    both = made(["osrp", "osrp (tracked hazards)", "bsrp_lag"])
    scores = metrics.scores(both)
    assert scores.groupby("method").size().to_dict() == {
        "osrp": 6, "osrp (tracked hazards)": 6, "bsrp_lag": 6
    }  # fmt: skip
    table = aggregates.aggregate(scores, "return", reps=20)
    assert set(table["method"]) == {"osrp", "osrp (tracked hazards)", "bsrp_lag"}
    cells = ablations.with_parts(scores)
    assert set(cells["method"]) == {"osrp", "bsrp_lag"}  # learned costs win
    assert ablations.given_costs(scores) == ""
    alone = scores[scores["method"] == "osrp (tracked hazards)"]
    assert ablations.given_costs(alone) == "tracked hazards"
    figure = ablation_figures.contribution(alone)
    assert figure.get_suptitle() == "Costs: tracked hazards"
    shown = curves.grid(both)
    assert [text.get_text() for text in shown.legends[0].get_texts()][:3] == [
        "OSRP, 3 seeds", "OSRP (tracked hazards), 3 seeds", "BSRP-Lag, 3 seeds"
    ]  # fmt: skip
    looks = style.method_styles(scores["method"])
    assert looks["osrp"].color != looks["osrp (tracked hazards)"].color
    assert looks["osrp"].marker == looks["osrp (tracked hazards)"].marker


# -- ablations -------------------------------------------------------------------------------------


def test_every_part_of_a_method_is_averaged_over_the_same_tasks():
    four = ["dreamerv3", "bsrp_lag", "osrp", "osrp_lag"]
    scores = metrics.scores(made(four))
    other = scores[scores["method"].isin(("dreamerv3", "bsrp_lag"))]
    more = pd.concat([scores, other.assign(obs="elsewhere", **{"return": 1e3})])
    wanted, found = (ablations.cells(each, "return") for each in (scores, more))
    pd.testing.assert_frame_equal(wanted, found)
    square = ablations.square(more, "return")
    assert square is not None and square.tasks == scores.groupby(["task", "obs"]).ngroups
    drawn = ablations.comparable(more, "return")
    assert "elsewhere" not in set(drawn["obs"]) and set(drawn["method"]) == set(four)


PLANNERS = {
    "osrp": "osrp [planner, no multiplier]",
    "osrp_lag": "osrp_lag [planner, PID, constrained proposals]",
}
ACTORS = {"dreamerv3": "bsrp_lag [actor, no multiplier]", "bsrp_lag": "bsrp_lag [actor, augmented]"}


def test_variants_are_compared_with_variants_and_plain_methods_with_plain_ones():
    scores = metrics.scores(made([*PLANNERS, *ACTORS]))

    def shown(names: dict[str, str], plain: pd.DataFrame = scores) -> dict[str, tuple[str, str]]:
        varied = scores[scores["method"].isin(names)].replace({"method": names})
        rows = ablations.with_parts(pd.concat([plain, varied])).drop_duplicates("method")
        return dict(zip(rows["method"], zip(rows["acts"], rows["multiplier"])))

    assert set(shown({})) == set(shown(PLANNERS)) == {*PLANNERS, *ACTORS}  # only these are whole
    whole = ACTORS | PLANNERS | {"osrp_lag": "osrp_lag [planner, PID]"}
    assert set(shown(whole)) == set(whole.values())
    part = scores[scores["method"] != "dreamerv3"]
    assert shown(PLANNERS, part) == {
        "osrp [planner, no multiplier]": ("planner", "none"),
        "osrp_lag [planner, PID, constrained proposals]": ("planner, constrained proposals", "PID"),
    }
    varied = scores.replace({"method": PLANNERS | ACTORS})
    figure = ablation_figures.contribution(varied)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "actor", "planner", "planner, constrained proposals"
    ]  # fmt: skip


# -- one task under two observations ---------------------------------------------------------------


def two_observations() -> Results:
    vision, lidar = made(["osrp"], [POINT]), made(["ppo_lag"], [(POINT[0], "lidar")])
    return Results(*(pd.concat(frames, ignore_index=True) for frames in zip(vision, lidar)))


def test_nothing_in_common_is_not_drawn_and_names_the_remedy():
    apart = two_observations()
    pictures = {p.name: p for p in gallery.gallery(apart, metrics.scores(apart), FEW)}
    assert pictures["aggregates"].figure is None and "scatter" not in pictures
    assert (
        "PointGoal1 was run under lidar and vision: `--observations together` takes them for one "
        "task."
    ) in pictures["aggregates"].caption


def test_observations_together_are_one_task():
    apart = two_observations()
    together = join_observations(apart)
    scores = metrics.scores(together)
    assert set(zip(scores["task"], scores["obs"])) == {(POINT[0], "lidar, vision")}
    table = aggregates.aggregate(scores, "return", reps=20)
    assert set(table["tasks"]) == {1} and table["value"].notna().sum() == 6
    figure = curves.curves(together)
    assert figure.get_suptitle() == "PointGoal1 (lidar, vision), limit 2"


# -- grid ------------------------------------------------------------------------------------------


def test_grid_keeps_empty_panels_and_says_so():
    figure = curves.grid(
        made(["osrp", "ppo"], [POINT]), tasks=[POINT, CAR], methods=["osrp", "cem"]
    )
    titles = [axes.get_title().replace("\n", " ") for axes in figure.axes]
    assert titles == ["PointGoal1 (vision), limit 2", "CarGoal1 (vision)", "", ""]
    point, car = figure.axes[::2], figure.axes[1::2]
    assert [text.get_text() for axes in car for text in axes.texts] == ["no runs", "no runs"]
    assert [text.get_text() for text in point[1].texts] == ["limit 2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "CEM (unsafe), 0 seeds",
        "OSRP, 3 seeds",
        "cost limit 2",
    ]
    (mean,) = [line for line in figure.axes[0].lines if line.get_gid() == "mean"]
    assert mean.get_color() == style.METHODS["osrp"].color
    assert inside(figure) == []


@pytest.mark.parametrize("tasks", [1, 7])
def test_grid_fits_its_page(tasks):
    results = synthetic.results(methods=12, tasks=tasks, seeds=1, steps=3_000, evaluations=2)
    figure = curves.grid(results)
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
    table = ablations.budgets(scores)
    assert table[["method", "candidates", "iterations", "horizon", "model_steps"]].iloc[
        0
    ].tolist() == [
        "osrp_lag",
        100,
        2,
        5,
        1000,
    ]
    limits = ablations.limits(scores)
    assert limits[["method", "cost_limit"]].drop_duplicates().values.tolist() == [["osrp", 5.0]]
    table["act_ms"] = [2.5, np.nan, np.nan]
    for draw, runs in ((ablation_figures.budget, table), (ablation_figures.cost_limits, limits)):
        assert inside(draw(runs)) == []
        with pytest.raises(ValueError, match="no run of ablation-"):
            draw(runs.iloc[:0])


def test_milliseconds_per_action_ignore_compilation(tmp_path):
    lines = [
        '{"agent_steps": 100, "time/act": 9.0}',
        '{"agent_steps": 200, "time/act": 0.2}',
        '{"agent_steps": 300, "time/act": 0.3}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"agent_steps": 4')
    assert timing.act_ms(str(tmp_path)) == 3.0  # median of 90, 2 and 3
    assert np.isnan(timing.act_ms(str(tmp_path / "nothing")))


# -- gallery and paper -----------------------------------------------------------------------------


@pytest.mark.slow
def test_gallery_draws_what_there_is_and_names_what_is_not():
    results = made(["osrp", "ppo"], seeds=3)
    pictures = list(gallery.gallery(results, metrics.scores(results), FEW))
    assert len({picture.name for picture in pictures}) == len(pictures)
    missing = {picture.name: picture.caption for picture in pictures if picture.figure is None}
    assert missing.keys() == {"ablation-planner-budget", "ablation-cost-limit"}
    assert (
        "`safedreamer sweep --suite ablation-cost-limit` runs them"
        in missing["ablation-cost-limit"]
    )
    assert {"efficiency", "aggregates-normalised-return", "scatter"} <= {p.name for p in pictures}
    for picture in pictures:
        assert (picture.figure is None) == (picture.data is None)
        assert picture.figure is None or inside(picture.figure) == [], picture.name


def test_gallery_of_runs_without_evaluations(tmp_path):
    write_run(tmp_path / "a", "osrp", train=[(1000, 1.0, 0.0)])
    results = load([tmp_path])
    pictures = {
        picture.name: picture for picture in gallery.gallery(results, metrics.scores(results), FEW)
    }
    assert pictures["aggregates"].figure is None
    assert pictures["aggregates"].caption == (
        "Not drawn: No run has evaluations yet. `safedreamer status` shows where runs stand; "
        "`loop.eval_every` is how often they are evaluated."
    )


def test_aggregates_of_results_without_costs_are_those_of_returns(tmp_path):
    for seed in range(3):
        evals = [(2000, 1.0, np.nan), (4000, 2.0 + seed, np.nan)]
        write_run(tmp_path / str(seed), "osrp", seed, evals=evals, task="SafetyPointCircle1-v0")
    results = load([tmp_path])
    summary = gallery.summarise(metrics.scores(results), FEW)
    pictures = gallery.aggregate_pictures(summary, results, FEW)
    names = ["aggregates-return", "efficiency", "profiles-return"]
    assert [picture.name for picture in pictures] == names


def test_a_task_that_only_some_metrics_leave_out_is_named_with_these():
    # nobody published constants for the second
    results = made(["osrp"], [POINT, ("SafetyPointCircle1-v0", "vision")])
    summary = gallery.summarise(metrics.scores(results), FEW)
    told = (
        "Left out, because not all methods have values there: SafetyPointCircle1-v0/vision "
        "(Normalised return, Normalised cost, Normalised cost rate)."
    )
    assert summary.note.endswith(told)
    assert aggregates_table(list(summary.tables.items())).notes[-1] == told


@pytest.mark.omnisafe
def test_paper_names_the_suites_that_fill_its_panels():
    for suite in paper.SUITES:
        entries = expand(read_suite(suite.name), task_settings)
        there = {(e.spec.method, e.spec.task, e.spec.obs) for e in entries}
        tasks = {task for figure in paper.CURVES for task in figure.tasks if task[1] == suite.obs}
        assert there >= {(m, *task) for m in suite.methods for task in tasks}
    rows = [("vector", "T", "coordinates", "osrp", 3, "", paper.State.FULL)]
    rows += [("vector", "T", "coordinates", "cem", 1, "", paper.State.FEW)]
    rows += [("vector", "T", "coordinates", "ppo", 0, "", paper.State.EMPTY)]
    rows += [("vision-model-based", "T", "vision", "lambda", 3, "", paper.State.FULL)]
    columns = ["figure", "task", "obs", "method", "seeds", "seen", "state"]
    found = paper.fills(pd.DataFrame(rows, columns=columns))
    assert found.values.tolist() == [
        ["vector", 1, 1, 0, "cem", "safedreamer sweep --suite vector --cluster slurm"],
        ["vector", 0, 0, 1, "ppo", found["command"][1]],
        ["vision-model-based", 1, 0, 0, "", ""],
    ]
    assert found["command"][1].startswith("safedreamer train --method METHOD")


def test_paper_counts_seeds_and_names_empty_panels():
    results = made(
        ["osrp", "osrp_lag", "lambda"], [POINT, ("SafetyPointGoal2-v0", "vision")], seeds=2
    )
    listed = paper.panels(results).set_index(["figure", "task", "obs", "method"])
    assert listed.loc[("vision-model-based", *POINT, "lambda")].tolist() == [2, "", paper.State.FEW]
    assert listed.loc[("vision-model-based", *CAR, "lambda")].tolist() == [0, "", paper.State.EMPTY]
    assert len(listed) == 5 * 6 + 5 * 11 + 2 * 13
    pictures = {
        picture.name: picture
        for picture in paper_figures.pictures(results, metrics.scores(results), FEW)
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
    assert "| CarGoal1 (vision) | – |" in paper_tables.panels_markdown(paper.panels(results))
    assert inside(pictures["vision-model-based"].figure) == []


def test_model_free_methods_stand_beside_vision_with_what_they_see():
    results = made(["osrp"], [POINT], seeds=1)
    blind = made(["ppo_lag", "lambda"], [(POINT[0], "lidar")], seeds=3)
    both = Results(*(pd.concat(frames, ignore_index=True) for frames in zip(results, blind)))
    listed = paper.panels(both).set_index(["figure", "task", "obs", "method"])
    assert listed.loc[("vision-model-free", *POINT, "ppo_lag")].tolist() == [
        3,
        "lidar",
        paper.State.FULL,
    ]
    # LAMBDA sees images, so no lidar run stands in
    assert listed.loc[("vision-model-based", *POINT, "lambda")].tolist() == [
        0,
        "",
        paper.State.EMPTY,
    ]
    pictures = {
        picture.name: picture for picture in paper_figures.pictures(both, metrics.scores(both), FEW)
    }
    assert "OSRP 1, PPO-Lag 3 (from lidar)" in pictures["vision-model-free"].caption
    free = pictures["vision-model-free"]
    assert free.title == "Five vision tasks, model-free methods (model-free: lidar)"
    assert free.figure.axes[0].get_title() == "PointGoal1\n(vision, lidar), limit 2"
    assert free.figure.axes[1].get_title() == "PointGoal2\n(vision)"
    assert len([line for line in free.figure.axes[0].lines if line.get_gid() == "mean"]) == 1
    assert "| PointGoal1 (vision) | 1 | – | – | – | 3 lidar |" in paper_tables.panels_markdown(
        paper.panels(both)
    )
