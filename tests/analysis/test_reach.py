"""Steps to a model-free method's return within the limit, on curves with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.read.load import load
from analysis.statistics.metrics import scores
from analysis.statistics.reach import SHARE, first_within, reach
from analysis.tables.reach import reach_markdown
from tests.analysis_runs import write_run

CURVES = {  # method -> (steps, return, cost) of the evaluations of each seed; the limit is 2
    "ppo_lag": ([(1000, 2.0, 0.0), (2000, 10.0, 99.0), (4000, 10.0, 0.0)],) * 2,
    "cpo": ([(4000, 30.0, 60.0)],),  # a higher return, above the limit
    "trpo_lag": ([(4000, 9.5, 0.0)],),  # only at its end
    "bsrp_lag": (
        [(1000, 9.5, 2.0), (4000, 20.0, 0.0)],
        [(1000, 9.5, 2.1), (2000, 9.5, 0.0), (4000, 0.0, 0.0)],
        [(1000, 0.0, 0.0), (4000, 5.0, 0.0)],
    ),
    "osrp_lag": ([(1000, 0.0, 0.0), (4000, 8.9, 0.0)], [(1000, 9.0, 0.0), (4000, 9.0, 0.0)]),
}


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    for method, seeds in CURVES.items():
        for seed, evals in enumerate(seeds):
            write_run(tmp_path / f"{method}-{seed}", method, seed, evals=evals)
    results = load(tmp_path)
    return reach(results, scores(results, k=1))


def test_the_target_is_that_of_the_best_model_free_method_within_the_limit(table):
    assert set(table["best"]) == {"ppo_lag"}
    assert set(table["target"]) == {SHARE * 10.0}
    steps = table.set_index("method")["steps"]
    assert steps["ppo_lag"] == 4000 and steps["cpo"] == np.inf
    assert steps["bsrp_lag"] == 2000  # median of 1,000, 2,000 and never
    assert steps["osrp_lag"] == np.inf  # one of two never does
    factor = table.set_index("method")["factor"]
    assert factor["bsrp_lag"] == 2.0 and np.isnan(factor[["osrp_lag", "trpo_lag"]]).all()


def test_a_single_seed_sets_no_target_where_another_method_has_three(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"p{seed}", "ppo_lag", seed, evals=[(4000, 10.0, 0.0)])
    write_run(tmp_path / "t", "trpo_lag", evals=[(4000, 12.0, 0.0)])
    results = load(tmp_path)
    assert set(reach(results, scores(results))["best"]) == {"ppo_lag"}


def test_who_never_gets_there_is_said_to_need_more_than_its_budget(table):
    text = reach_markdown(table)
    assert "| OSRP-Lag | > 4,000 | 1 of 2 | – |" in text
    assert "| BSRP-Lag | 2,000 | 2 of 3 | 2.0 |" in text
    assert "| TRPO-Lag | ≤ 4,000 | 1 of 1 | – |" in text
    assert "(here PPO-Lag)" in text


def test_nothing_is_said_without_a_model_free_method_within_the_limit(tmp_path):
    write_run(tmp_path / "o", "osrp_lag", evals=[(4000, 1.0, 0.0)])
    write_run(tmp_path / "c", "cpo", evals=[(4000, 30.0, 60.0)])
    results = load(tmp_path)
    assert reach(results, scores(results)).empty


def test_an_unknown_limit_or_target_is_not_never():
    points = pd.DataFrame({"env_steps": [10.0], "return": [1.0], "cost": [0.0]})
    assert np.isnan(first_within(points, float("nan"), 0.0))
    assert np.isnan(first_within(points, 1.0, float("nan")))
    assert first_within(points, 1.0, 2.0) == np.inf
