"""Series, statistics, tables and figures on hand-made records, with the values worked out by
hand.
"""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import curves, facets, style
from analysis.figures.scaling import PANELS, growth
from analysis.figures.scaling import figure as scaling_figure
from analysis.read.load import load
from analysis.statistics import final, intervals, series
from tests.analysis_runs import run_row, write_run, write_sweep


def performance(results, k=10):
    return final.performance(final.final_runs(results, k))


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path)


# -- statistics and series -------------------------------------------------------------------------


def test_half_width_by_hand():
    # s = 2, n = 3, t[2, 0.975] = 4.302653 (tables): 4.302653 * 2 / sqrt(3) = 4.968276
    np.testing.assert_allclose(
        intervals.mean_half_width(np.array([10.0, 12.0, 14.0])), 4.968276, rtol=1e-6
    )
    assert np.isnan(intervals.mean_half_width(np.array([10.0, 12.0])))


def test_interval_covers_the_mean_in_95_percent_of_cases():
    draws = np.random.default_rng(0).normal(size=(4, 20_000))
    covered = np.abs(draws.mean(axis=0)) <= intervals.mean_half_width(draws)
    assert abs(covered.mean() - 0.95) < 0.006  # 4 standard errors


def test_evaluation_points_are_means_per_evaluation(sweep):
    points = series.evaluation_points(load([sweep / "osrp-0"]).episodes)
    assert points[["env_steps", "return", "cost", "episodes"]].values.tolist() == [
        [2000, 5.0, 8.0, 2],
        [4000, 10.0, 2.0, 2],
    ]


def test_diverged_episode_is_a_gap_not_a_smaller_mean(tmp_path):
    write_run(
        tmp_path / "a",
        "osrp",
        evals=[(2000, float("nan"), 1.0), (2000, 4.0, 1.0), (4000, 5.0, 1.0)],
    )
    results = load([tmp_path])
    np.testing.assert_array_equal(
        series.evaluation_points(results.episodes)["return"], [np.nan, 5.0]
    )
    assert "not finite" in run_row(results, "a")["notes"]
    assert np.isnan(performance(results)["return"][0])


def test_training_points_are_a_centred_rolling_mean(sweep):
    # 3 of 4 episodes
    points = series.training_points(load([sweep / "osrp-0"]).episodes, share=0.75)
    assert points["return"].tolist() == [2.0, 3.0, 5.0, 6.0]
    assert points["cost"].tolist() == [15.0, 12.0, 20.0 / 3.0, 5.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_diverged_episode_leaves_a_gap_in_the_smoothed_curve(value):
    rows = [("a", "train", 100 * step, 1.0 if step != 5 else value, 2.0) for step in range(10)]
    episodes = pd.DataFrame(rows, columns=["run", "split", "env_steps", "return", "cost"])
    points = series.training_points(episodes, share=0.3)  # three episodes
    assert points["return"].isna().tolist() == [step in (4, 5, 6) for step in range(10)]
    assert points["return"].dropna().tolist() == [1.0] * 7 and points["cost"].tolist() == [2.0] * 10


def test_band_interpolates_and_ends_with_the_shortest_run():
    points = pd.DataFrame(
        [
            ("a", 0, 0.0),
            ("a", 10, 10.0),
            ("b", 5, 1.0),
            ("b", 10, 2.0),
            ("c", 5, 3.0),
            ("c", 20, 9.0),
        ],
        columns=["run", "env_steps", "return"],
    )
    band = series.band(points, "return")
    assert band["env_steps"].tolist() == [5, 10]
    # at 5: (5 + 1 + 3) / 3; at 10: c lies a third of the way from 3 to 9: (10 + 2 + 5) / 3
    np.testing.assert_allclose(band["return"], [3.0, 17.0 / 3.0])
    np.testing.assert_allclose(
        band["high"] - band["return"],
        4.302653 * np.array([2.0, np.std([10, 2, 5], ddof=1)]) / np.sqrt(3),
        rtol=1e-6,
    )


# -- tables ----------------------------------------------------------------------------------------


def test_final_performance_by_hand(sweep):
    unsafe, osrp = performance(load([sweep]), k=2).to_dict("records")
    assert (
        unsafe["method"],
        unsafe["return"],
        unsafe["cost"],
        unsafe["feasible_episodes"],
    ) == (
        "dreamerv3",
        21.0,
        55.0,
        0.0,
    )
    assert np.isnan(unsafe["return_half"])
    # last two episodes of each seed: returns 9 11, 11 13, 13 15; costs 1 3 each; limit 2
    assert (osrp["return"], osrp["cost"], osrp["feasible_episodes"], osrp["cost_limit"]) == (
        12.0,
        2.0,
        0.5,
        2.0,
    )
    assert (osrp["episodes"], osrp["runs"], osrp["seed_names"], osrp["env_steps_min"]) == (
        6,
        3,
        "0 1 2",
        4000,
    )
    np.testing.assert_allclose(osrp["return_half"], 4.968276, rtol=1e-6)
    np.testing.assert_allclose(osrp["return_std"], np.std([9, 11, 11, 13, 13, 15], ddof=1))
    assert osrp["cost_half"] == 0.0
    assert osrp["wall_hours"] == pytest.approx(400 / 3600)


def test_k_beyond_what_there_is_uses_all_and_counts_them(sweep):
    _, osrp = performance(load([sweep]), k=10).to_dict("records")
    assert (osrp["episodes"], osrp["return"]) == (12, (5.0 + 12.0) / 2)


def test_every_run_weighs_the_same_whatever_its_episodes(tmp_path):
    write_run(tmp_path / "a", "osrp", 0, evals=[(4000, 0.0, 0.0)] * 1)
    write_run(
        tmp_path / "b", "osrp", 1, evals=[(4000, 10.0, 0.0), (4000, 10.0, 0.0), (4000, 10.0, 0.0)]
    )
    assert performance(load([tmp_path]))["return"][0] == 5.0


def test_last_episodes_go_by_step_not_by_line(tmp_path):
    write_run(tmp_path / "a", "osrp", evals=[(4000, 9.0, 0.0), (1000, 1.0, 0.0)])
    assert performance(load([tmp_path]), k=1)["return"][0] == 9.0


def test_cost_at_the_limit_is_within_it(tmp_path):
    write_run(tmp_path / "a", "osrp", evals=[(4000, 1.0, 0.0), (4000, 1.0, 0.5)], cost_limit=0.0)
    assert performance(load([tmp_path]))["feasible_episodes"][0] == 0.5


def test_unsafe_method_is_judged_by_the_limit_of_its_task(tmp_path):
    write_run(tmp_path / "safe", "osrp", evals=[(4000, 1.0, 0.0)], cost_limit=5.0)
    # a default that the method does not use
    write_run(tmp_path / "unsafe", "dreamerv3", evals=[(4000, 1.0, 4.0)], cost_limit=2.0)
    assert performance(load([tmp_path]))["cost_limit"].tolist() == [5.0, 5.0]


def test_bad_k_is_refused(sweep):
    with pytest.raises(ValueError, match="k=0 must be at least 1"):
        performance(load([sweep]), k=0)


# -- figures ---------------------------------------------------------------------------------------


def drawn(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


def legend_labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(("words", "columns"), [(1, 4), (6, 2), (10, 1)])
def test_a_legend_has_as_many_columns_as_fit(words, columns):
    figure = Figure(figsize=(style.PAGE, 3.0), layout="constrained")
    handles = [Line2D([], [], label="name " * words) for _ in range(4)]
    facets.legend_below(figure, handles, columns=4)
    (legend,) = figure.legends
    assert legend._ncols == columns and legend.get_window_extent().width <= figure.bbox.width


def test_curves_draw_means_bands_seeds_and_limit(sweep):
    figure = curves.curves(load([sweep]))
    reward, cost = figure.axes
    assert (reward.get_xlabel(), reward.get_ylabel()) == ("Simulator steps", "Episode return")
    assert (cost.get_xlabel(), cost.get_ylabel()) == (
        "Simulator steps",
        "Episode cost (log above 2)",
    )
    (mean,) = drawn(reward, "mean")  # OSRP, three seeds
    assert mean.get_xydata().tolist() == [[2000.0, 5.0], [4000.0, 12.0]]
    assert mean.get_color() == style.METHODS["osrp"].color
    (band,) = reward.collections
    np.testing.assert_allclose(band.get_paths()[0].get_extents().ymax, 12.0 + 4.968276, rtol=1e-6)
    (single,) = drawn(reward, "run")  # DreamerV3, one seed: the run itself, no band
    assert single.get_xydata().tolist() == [[4000.0, 21.0]]
    assert single.get_marker() == "s"  # a single point must be visible
    assert len(drawn(reward, "training")) == 4
    (limit,) = drawn(cost, "cost limit")
    assert set(limit.get_ydata()) == {2.0}
    assert not drawn(reward, "cost limit")
    wanted = [
        "DreamerV3 (unsafe), 1 seed",
        "OSRP, 3 seeds",
        "evaluation",
        "training episodes, smoothed",
        "95 % interval",
        "cost limit 2",
    ]
    assert legend_labels(figure) == wanted


def test_two_seeds_are_drawn_singly(sweep):
    reward, _ = curves.curves(load([sweep / "osrp-0", sweep / "osrp-1"])).axes
    assert len(drawn(reward, "run")) == 2
    assert not drawn(reward, "mean") and not reward.collections


def test_mean_stops_where_the_shortest_run_does(sweep):
    write_run(sweep / "osrp-3", "osrp", 3, evals=[(2000, 5.0, 8.0)])
    reward, _ = curves.curves(load([sweep])).axes
    (mean,) = drawn(reward, "mean")
    assert mean.get_xdata().tolist() == [2000]
    assert len(drawn(reward, "rest")) == 3


def test_low_costs_keep_a_linear_axis_and_a_zero_limit_stays_in_view(tmp_path):
    write_run(tmp_path / "a", "osrp", evals=[(4000, 1.0, 3.0)], cost_limit=0.0)
    _, cost = curves.curves(load([tmp_path])).axes
    assert cost.get_yscale() == "linear"
    assert cost.get_ylim()[0] < 0.0 < 3.0 < cost.get_ylim()[1]


def test_run_without_evaluations_is_drawn_by_its_training(tmp_path):
    write_run(tmp_path / "a", "osrp", train=[(1000, 1.0, 0.0), (2000, 2.0, 0.0)])
    reward, _ = curves.curves(load([tmp_path])).axes
    (line,) = drawn(reward, "training")
    assert line.get_alpha() == 0.9


def test_missing_run_is_named_in_its_panel(sweep):
    write_run(sweep / "cem-4", "cem", 4)
    figure = curves.curves(load([sweep]))
    (text,) = [t for t in figure.axes[0].texts if t.get_gid() == "missing"]
    assert text.get_text() == "no records:\nCEM (unsafe) seed 4"
    assert "CEM (unsafe), 0 seeds" in legend_labels(figure)


def test_run_without_evaluations_beside_evaluated_ones_is_named(sweep):
    write_run(sweep / "osrp-5", "osrp", 5, train=[(1000, 1.0, 0.0)])
    figure = curves.curves(load([sweep]))
    assert [t.get_text() for t in figure.axes[0].texts] == ["no evaluations:\nOSRP seed 5"]


def test_one_pair_of_panels_per_task(sweep):
    for task in ("SafetyCarGoal1-v0", "SafetyPointPush1-v0"):
        write_run(sweep / task, "osrp", evals=[(4000, 1.0, 0.0)], task=task)
    figure = curves.curves(load([sweep]))
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in figure.axes] == [
        *(f"{t} (coordinates), limit 2" for t in ("CarGoal1", "PointGoal1", "PointPush1")),
        *[""] * 3,
    ]


def test_nothing_to_draw_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="nothing to draw"):
        curves.curves(load([tmp_path]))


MANY = ("dreamerv3", "cem", "osrp", "osrp_lag", "bsrp_lag", "lambda", "safe_slac", "cpo")


def test_many_methods_on_one_task_are_spread_over_rows_with_the_same_axes(tmp_path):
    for place, method in enumerate(MANY):
        write_run(tmp_path / method, method, evals=[(4000, place, 10.0 * place)])
    figure = curves.curves(load([tmp_path]))
    rows = [figure.axes[:2], figure.axes[2:]]
    names = [[text.get_text() for text in cost.get_legend().get_texts()] for _, cost in rows]
    assert [name for row in names for name in row] == [
        f"{style.METHODS[method].label}, 1 seed" for method in MANY
    ]
    assert list(map(len, names)) == [4, 4]
    for column in range(2):
        drawn_here = [len(drawn(row[column], "run")) for row in rows]
        assert drawn_here == [4, 4]
        assert rows[0][column].get_ylim() == rows[1][column].get_ylim()
        assert rows[0][column].get_yscale() == rows[1][column].get_yscale()
    assert rows[0][1].get_ylim()[1] > 70.0  # the highest cost is in the second row
    assert len(drawn(rows[1][1], "cost limit")) == 1
    assert [one.get_xlabel() for one in figure.axes] == ["", "", *["Simulator steps"] * 2]
    assert legend_labels(figure) == ["evaluation", "cost limit 2"]


def test_training_is_drawn_strongly_where_evaluations_do_not_show_the_way(tmp_path):
    train = [(1000, 1.0, 0.0), (2000, 2.0, 0.0)]
    write_run(tmp_path / "end", "cpo", evals=[(4000, 1.0, 0.0)], train=train)
    write_run(tmp_path / "often", "osrp", evals=[(2000, 1.0, 0), (4000, 1.0, 0)], train=train)
    reward, _ = curves.curves(load([tmp_path])).axes
    strength = {line.get_color(): line.get_alpha() for line in drawn(reward, "training")}
    assert strength[style.METHODS["cpo"].color] == 0.5
    assert strength[style.METHODS["osrp"].color] == 0.3


@pytest.mark.parametrize("methods", [("cem", "osrp_lag", "bsrp_lag"), MANY[1:]])
def test_everything_lies_inside_the_figure(sweep, methods):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for method in methods:
        write_run(sweep / method, method, evals=[(4000, 1.0, 0.0)])
    figure = curves.curves(load([sweep]))
    FigureCanvasAgg(figure).draw()
    whole = figure.bbox
    inner = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    for artist in (*figure.axes, *figure.legends, *inner):
        box = artist.get_tightbbox()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1, artist


def test_own_variants_come_first_and_all_styles_differ():
    assert list(style.METHODS)[:5] == ["dreamerv3", "cem", "osrp", "osrp_lag", "bsrp_lag"]
    assert len({look.color for look in style.METHODS.values()}) == len(style.METHODS)


def test_unknown_methods_keep_their_look():
    alone = style.method_styles(["mine"])["mine"]
    assert style.method_styles(["osrp", "mine"])["mine"] == alone
    assert list(style.method_styles(["mine", "osrp"])) == ["osrp", "mine"]
    few = style.method_styles([f"osrp [variant {i}]" for i in range(10)])
    assert len({look.color for look in few.values()}) == 10
    many = style.method_styles([f"method{i}" for i in range(40)])
    assert len({(look.color, str(look.line)) for look in many.values()}) == 40
    assert len({(look.color, look.marker) for look in many.values()}) == 40


def test_growth_is_relative_to_the_smallest_size_whatever_the_order():
    update = {"kind": "update", "median": 0.3, "peak_bytes": 3e9}
    rows = [
        update | {"name": "update, model.deter=256"},
        update | {"name": "update, model.deter=64", "median": 0.1, "peak_bytes": 1e9},
        {"kind": "plan", "name": "plan, planner.horizon=5", "median": 0.2, "peak_bytes": 1e9},
    ]
    found = growth(rows).set_index(["panel", "setting"])
    assert found.loc["update: seconds"][["size", "value"]].to_numpy() == pytest.approx(
        np.array([[1, 1], [4, 3]])
    )
    assert found.loc["update: peak memory", "value"].tolist() == pytest.approx([1, 3])
    assert found.loc["planned action: seconds", "value"].tolist() == [1.0]
    drawn = scaling_figure(rows)
    assert [axes.get_title() for axes in drawn.axes] == list(PANELS)
    assert [text.get_text() for text in drawn.axes[0].get_legend().get_texts()] == [
        "model.deter",
        "in proportion",
    ]
