"""The statistics on samples whose true answers are known.

Coverage, signs, order, unequal numbers of runs, one seed, none feasible.
"""

import math

import numpy as np
import pandas as pd
import pytest
from rliable import library as rliable_library
from rliable import metrics as rliable_metrics

from analysis import synthetic
from analysis.statistics import aggregates, metrics, paired
from analysis.statistics.aggregates import iqm
from analysis.statistics.paired import holm, permutation_p
from analysis.statistics.seeds import seeds_needed
from analysis.tables import comparison

TASKS = [(f"task{number}", "vision") for number in range(10)]


def frame(values, metric="return"):
    """Scores of {method: [tasks][runs]}, as many seeds as runs."""
    rows = [
        {"method": method, "task": task, "obs": obs, "seed": seed, "tags": "", metric: value}
        for method, table in values.items()
        for (task, obs), runs in zip(TASKS, table)
        for seed, value in enumerate(runs)
    ]
    return pd.DataFrame(rows)


def cell(table, method, statistic="IQM"):
    (row,) = table[(table["method"] == method) & (table["statistic"] == statistic)].to_dict(
        "records"
    )
    return row


@pytest.fixture(scope="module")
def made():
    return synthetic.results(methods=4, tasks=5, seeds=5, steps=50_000)


@pytest.fixture(scope="module")
def scores(made):
    return metrics.scores(made, k=20)


# -- intervals cover the truth at their nominal rate -----------------------------------------------


@pytest.mark.slow
def test_bootstrap_intervals_cover_the_truth():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(100):
        scores = frame({"a": rng.normal(3.0, 1.0, (10, 5))})
        row = cell(aggregates.aggregate(scores, "return", reps=150), "a", "Mean")
        covered.append(row["low"] <= 3.0 <= row["high"])
    # with 5 runs the bootstrap's standard deviation is sqrt(4/5) of the true one, so percentile
    # intervals cover 0.92; tolerance: 4 standard errors
    assert abs(np.mean(covered) - 0.92) < 4 * math.sqrt(0.92 * 0.08 / 100)


def test_intervals_of_a_difference_cover_the_truth_and_its_test_is_seldom_wrong():
    rng = np.random.default_rng(1)
    covered, wrong, family = [], [], []
    for _ in range(100):
        scores = frame({"a": rng.normal(0.0, 1.0, (5, 4)), "b": rng.normal(0.0, 3.0, (5, 4))})
        table = paired.paired(scores, "return", "a", "b")
        overall, tasks = table.iloc[0], table.iloc[1:]
        covered.append(overall["low"] <= 0.0 <= overall["high"])
        wrong.append(overall["p"] < 0.05)
        family.append(tasks["changed"].any())
    assert np.mean(covered) > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 100)
    for errors in (wrong, family):
        assert np.mean(errors) < 0.05 + 4 * math.sqrt(0.95 * 0.05 / 100)


def test_a_planned_number_of_seeds_separates_as_often_as_promised():
    rng = np.random.default_rng(2)
    wide = frame({"a": rng.normal(0.0, 1.0, (1, 400)), "b": rng.normal(1.0, 1.0, (1, 400))})
    plan = seeds_needed(wide, "return", "a", "b", power=0.8)
    # textbook: 2 (1.96 + 0.84)^2 / 1^2 = 15.7, a little more with Student's t
    assert plan.needed is not None and 15 <= plan.needed <= 20
    draws = rng.normal(0.0, 1.0, (2, 2000, plan.needed)) + np.array([0.0, 1.0])[:, None, None]
    spread = np.sqrt(draws.var(axis=2, ddof=1).sum(axis=0) / plan.needed)
    # t[2 n - 2, 0.975]
    found = np.abs(draws[1].mean(axis=1) - draws[0].mean(axis=1)) / spread > 2.02
    assert abs(found.mean() - plan.table.set_index("seeds").at[plan.needed, "power"]) < 0.05


# -- rliable's numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5), (5, 20), (4, 1), (10, 7)])
def test_interquartile_mean_is_rliables(shape):
    values = np.random.default_rng(3).normal(size=shape)
    assert iqm(values) == pytest.approx(rliable_metrics.aggregate_iqm(values), rel=1e-12)


def test_aggregates_by_hand_and_against_rliable():
    values = np.array([[0.2, 1.4], [0.4, 0.6], [0.9, 1.1], [0.1, 0.7]])  # [runs, tasks]
    table = aggregates.aggregate(
        frame({"a": values.T}, "normalised_return"), "normalised_return", reps=100
    )
    assert cell(table, "a", "Mean")["value"] == pytest.approx(5.4 / 8)
    assert cell(table, "a")["value"] == pytest.approx((0.4 + 0.6 + 0.7 + 0.9) / 4)
    assert cell(table, "a", "Median")["value"] == pytest.approx((0.4 + 0.95) / 2)
    # 1 - mean of values cut off at 1: (0.2 + 1 + 0.4 + 0.6 + 0.9 + 1 + 0.1 + 0.7) / 8 = 0.6125
    assert cell(table, "a", "Optimality Gap")["value"] == pytest.approx(1.0 - 0.6125)
    np.random.seed(0)  # noqa: NPY002 - rliable's generator
    _, bounds = rliable_library.get_interval_estimates(
        {"a": values}, lambda m: np.array([rliable_metrics.aggregate_iqm(m)]), reps=100
    )
    assert (cell(table, "a")["low"], cell(table, "a")["high"]) == tuple(bounds["a"][:, 0])


def test_the_seed_decides_and_the_callers_generator_is_left_alone():
    scores = frame(
        {
            "a": np.random.default_rng(4).normal(size=(5, 4)),
            "b": np.random.default_rng(5).normal(size=(5, 4)),
        }
    )
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = aggregates.aggregate(scores, "return", reps=50)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(8)  # noqa: NPY002
    pd.testing.assert_frame_equal(first, aggregates.aggregate(scores, "return", reps=50))
    assert not first["low"].equals(aggregates.aggregate(scores, "return", reps=50, seed=1)["low"])
    alone = aggregates.aggregate(scores[scores["method"] == "b"], "return", reps=50)
    assert cell(alone, "b") == cell(first, "b")  # whatever the other methods


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    # with ties; [tasks, runs]
    x, y = np.random.default_rng(6).integers(0, 4, (2, 3, 5)).astype(float)
    table = aggregates.improvement(frame({"x": x, "y": y}), "return", reps=50)
    (row,) = table[table["x"] == "x"].to_dict("records")
    assert row["probability"] == pytest.approx(rliable_metrics.probability_of_improvement(x.T, y.T))
    (back,) = table[table["x"] == "y"].to_dict("records")
    assert back["probability"] == pytest.approx(1.0 - row["probability"])
    assert (back["low"], back["high"]) == pytest.approx((1.0 - row["high"], 1.0 - row["low"]))


def test_probability_of_improvement_of_two_normals():
    rng = np.random.default_rng(7)
    table = aggregates.improvement(
        frame({"x": rng.normal(1.0, 1.0, (5, 100)), "y": rng.normal(0.0, 1.0, (5, 100))}),
        "return",
        reps=50,
    )
    (row,) = table[table["x"] == "x"].to_dict("records")
    assert row["probability"] == pytest.approx(0.7602, abs=0.03)  # Phi(1 / sqrt(2))
    assert row["low"] < 0.7602 < row["high"]


# -- costs have the right sign ---------------------------------------------------------------------


def test_costs_come_out_as_costs():
    low, high = np.full((3, 4), 1.0) + np.arange(4) / 10, np.full((3, 4), 4.0) + np.arange(4) / 10
    scores = frame({"safe": low, "unsafe": high}, "cost_over_limit")
    table = aggregates.aggregate(scores, "cost_over_limit", reps=100)
    safe, unsafe = cell(table, "safe", "Mean"), cell(table, "unsafe", "Mean")
    assert (safe["value"], unsafe["value"]) == pytest.approx((1.15, 4.15))
    assert 1.0 <= safe["low"] <= safe["value"] <= safe["high"] <= 1.3
    gap = cell(table, "unsafe", "Optimality Gap")  # mean excess above the limit, 1
    assert gap["value"] == pytest.approx(3.15) and gap["low"] <= 3.15 <= gap["high"]
    better = aggregates.improvement(scores, "cost_over_limit", reps=20).set_index(["x", "y"])[
        "probability"
    ]
    assert better["safe", "unsafe"] == 1.0
    share = aggregates.profiles(scores, "cost_over_limit", [0.9, 1.1, 1.3, 5.0], reps=20).set_index(
        ["method", "tau"]
    )["share"]
    assert share["safe"].tolist() == [0.0, 0.5, 1.0, 1.0]  # at or below tau
    assert share["unsafe"].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_profile_of_a_return_is_the_share_above():
    scores = frame({"a": [[1.0, 2.0], [3.0, 4.0]]})
    assert aggregates.profiles(scores, "return", [0.0, 1.0, 3.5, 4.0], reps=20)[
        "share"
    ].tolist() == [
        1.0,
        0.75,
        0.25,
        0.0,
    ]


def test_order_is_that_of_the_truth(made, scores):
    answers = (
        synthetic.truth(synthetic.SyntheticConfig(methods=4, tasks=5))
        .groupby("method")[["return", "cost"]]
        .mean()
    )
    for metric, best_first in (("return", False), ("cost", True)):
        table = aggregates.aggregate(scores, metric, reps=50)
        found = (
            table[table["statistic"] == "Mean"]
            .set_index("method")["value"]
            .sort_values(ascending=best_first)
        )
        assert (
            found.index.tolist() == answers[metric].sort_values(ascending=best_first).index.tolist()
        )
        assert found.to_numpy() == pytest.approx(
            answers[metric].loc[found.index].to_numpy(), rel=0.2, abs=0.3
        )


# -- few, unequal, or no runs ----------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_one_or_two_seeds_there_is_a_value_and_no_interval(seeds):
    scores = frame(
        {"a": np.random.default_rng(8).normal(size=(4, seeds)), "b": np.ones((4, seeds))}
    )
    table = aggregates.aggregate(scores, "return", reps=20)
    assert (
        table["value"].notna().sum() == 6
        and table[["low", "high"]].isna().all(axis=None)
        and not table["trusted"].any()
    )
    assert aggregates.improvement(scores, "return", reps=20)[["low", "high"]].isna().all(axis=None)
    assert aggregates.profiles(scores, "return", [0.0], reps=20)["low"].isna().all()
    tested = paired.paired(scores, "return", "a", "b")
    assert tested["p_corrected"].iloc[1:].isna().all() and not tested["changed"].iloc[1:].any()
    shown = comparison.aggregates_table([("return", table)])
    rows, notes = shown.rows, shown.notes
    assert (
        "no interval can be trusted with fewer than 3 seeds per task (a, b)" in notes[1]
        and "[" not in rows[0][1]
    )


def test_a_metric_without_values_does_not_hide_the_runs_of_others():
    returns = aggregates.aggregate(frame({"a": [[1.0, 2.0, 3.0]]}), "return", reps=20)
    none = returns.assign(value=np.nan, runs=0)
    shown = comparison.aggregates_table([("normalised_return", none), ("return", returns)])
    assert shown.rows[0][-1] == "3"


def test_unequal_numbers_of_runs_weigh_tasks_alike():
    scores = frame({"a": [[0.0, 0.0, 0.0], [6.0, 6.0, 6.0, 6.0, 6.0]]})
    assert cell(aggregates.aggregate(scores, "return", reps=50), "a", "Mean")["value"] == 3.0
    np.testing.assert_allclose(aggregates.profiles(scores, "return", [1.0], reps=20)["share"], 0.5)
    ragged = frame({"a": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]})
    row = cell(aggregates.aggregate(ragged, "return", reps=200), "a", "Mean")
    assert row["low"] < row["value"] == 3.75 < row["high"] and row["runs"] == 7


def test_tasks_that_a_method_lacks_are_left_out_and_named():
    scores = frame({"a": [[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]], "b": [[2.0, 2.0, 2.0]]})
    table = aggregates.aggregate(scores, "return", reps=20)
    assert cell(table, "a", "Mean")["value"] == 1.0
    assert set(table["left_out"]) == {"task1/vision"} and set(table["tasks"]) == {1}
    apart = pd.concat([frame({"a": [[1.0, 1.0, 1.0]]}), frame({"b": [[], [2.0, 2.0, 2.0]]})])
    assert aggregates.aggregate(apart, "return", reps=20)["value"].isna().all()


def test_a_run_without_a_value_is_no_zero():
    scores = frame({"a": [[1.0, 1.0, 1.0, np.nan]]})
    row = cell(aggregates.aggregate(scores, "return", reps=20), "a", "Mean")
    assert (row["value"], row["runs"]) == (1.0, 3)


def test_nothing_feasible_has_no_best(made):
    strict = made._replace(runs=made.runs.assign(cost_limit=0.0))
    table = comparison.comparison(metrics.scores(strict), frozenset())
    assert not table["best"].any() and (table["feasible"] == 0.0).all()
    assert "**" not in comparison.comparison_table(table).markdown()
    assert metrics.scores(strict)["cost_over_limit"].isna().all()


def test_unknown_metric_names_the_known(scores):
    with pytest.raises(ValueError, match="no metric 'reward'; there are return, cost"):
        aggregates.aggregate(scores, "reward")


# -- paired ----------------------------------------------------------------------------------------


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.04 times 3, 2, 1: 0.03, 0.04, 0.04; a test not made does not count
    np.testing.assert_allclose(
        holm(np.array([0.04, np.nan, 0.01, 0.02])), [0.04, np.nan, 0.03, 0.04]
    )


def test_permutation_by_counting():
    # differences 1, 1, 1: of 8 sign patterns 2 reach the observed mean
    assert permutation_p([np.array([1.0]), np.array([1.0]), np.array([1.0])]) == pytest.approx(
        0.25, abs=0.02
    )
    assert permutation_p([np.zeros(5)]) == 1.0


def test_paired_finds_the_task_that_changed():
    base = np.random.default_rng(9).normal(10.0, 3.0, (4, 6))
    changed = base + np.random.default_rng(10).normal(0.0, 0.1, (4, 6))
    changed[2] += 2.0
    table = paired.paired(frame({"a": base, "b": changed}), "return", "a", "b")
    assert table.loc[table["changed"], "task"].tolist() == ["all", "task2"]
    row = table.set_index("task").loc["task2"]
    assert (
        row["difference"] == pytest.approx(2.0, abs=0.2)
        and row["low"] < 2.0 < row["high"]
        and row["pairs"] == 6
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1)])
def test_below_three_pairs_nothing_is_tested(shape):
    a = np.zeros(shape)
    few = paired.paired(frame({"a": a, "b": a + 1.0}), "return", "a", "b")
    assert few["p"].isna().all() and few["p_corrected"].isna().all() and not few["changed"].any()
    assert (few["difference"] == 1.0).all()
    single = paired.paired(frame({"a": np.zeros((3, 1)), "b": np.ones((3, 1))}), "return", "a", "b")
    assert single["p"].notna().tolist() == [True, False, False, False]  # three pairs of all tasks


def test_two_tags_of_a_method_are_paired_by_seed():
    values = np.random.default_rng(11).normal(10.0, 3.0, (3, 4))
    before, after = (
        frame({"osrp": values}).assign(tags="before,paper"),
        frame({"osrp": values}).assign(tags="after,paper"),
    )
    same = paired.paired(pd.concat([before, after]), "return", "before", "after", by="tag")
    assert (
        (same["difference"] == 0.0).all() and (same["p"] == 1.0).all() and not same["changed"].any()
    )
    after["return"] += 1.0
    moved = paired.paired(pd.concat([before, after]), "return", "before", "after", by="tag")
    assert moved["changed"].iloc[1:].all() and moved["method"].tolist() == [
        "all",
        "osrp",
        "osrp",
        "osrp",
    ]
    with pytest.raises(ValueError, match="several runs of paper"):
        paired.paired(pd.concat([before, after]), "return", "paper", "after", by="tag")
    with pytest.raises(
        ValueError, match="have no task and seed in common; there are after, before, paper"
    ):
        paired.paired(pd.concat([before, after]), "return", "before", "later", by="tag")


def test_seed_plan_says_how_many_more():
    rng = np.random.default_rng(12)
    scores = frame(
        {
            "a": rng.normal(0.0, 1.0, (2, 5)),
            "b": rng.normal(0.6, 1.0, (2, 5)),
            "c": np.full((2, 5), 50.0),
        }
    )
    plan = seeds_needed(scores, "return", "a", "b")
    assert plan.now == 5 and plan.needed is not None and plan.more == plan.needed - 5 > 0
    assert f"{plan.needed} seeds, {plan.more} more, would tell them apart" in plan.summary
    assert (
        plan.table["width_difference"].is_monotonic_decreasing
        and (plan.table["power"].diff().dropna() > -1e-9).all()
    )
    assert "no more are needed" in seeds_needed(scores, "return", "a", "c").summary
    with pytest.raises(ValueError, match="share no task with two seeds each"):
        seeds_needed(scores[scores["seed"] == 0], "return", "a", "b")
