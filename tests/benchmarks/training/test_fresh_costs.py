"""The held-out check of predicted costs.

Counts and rates by hand, when it warns, and what a run's metrics then hold.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from agents.api import COST_NOW
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.tracking import untracked
from benchmarks.runs.metrics import Window
from benchmarks.training import fresh_costs
from benchmarks.training.fresh_costs import PRECISION, PREDICTED, RECALL, REPLAYED_RECALL, TRUE
from benchmarks.training.loop import Options, train
from tests.agent_inputs import VECTOR, observations, tiny
from tests.fakes.toys import EDGE, ToyAgent, metric_rows, toy_env, toy_spec


def test_rates_of_a_window_by_hand():
    window = Window()
    window.add(
        fresh_costs.counts(np.array([0.9, 0.6, 0.1]), np.array([5.0, 0.0, 1.0])), fresh_costs.PREFIX
    )
    window.add(
        fresh_costs.counts(np.array([0.2, 0.8, 0.4]), np.array([1.0, 2.0, 0.0])), fresh_costs.PREFIX
    )
    values = fresh_costs.summary(window.flush())
    # Costs are predicted at three of six rows, two of which have one; four rows have a cost.
    assert values[PRECISION] == pytest.approx(2 / 3) and values[RECALL] == pytest.approx(1 / 2)
    assert values[PREDICTED] == pytest.approx(0.5) and values[TRUE] == pytest.approx(1.5)
    assert set(values) == {PRECISION, RECALL, PREDICTED, TRUE}


def test_no_rates_of_nothing():
    window = Window()
    window.add(fresh_costs.counts(np.array([0.1]), np.array([0.0])), fresh_costs.PREFIX)
    assert set(fresh_costs.summary(window.flush())) == {PREDICTED, TRUE}
    assert fresh_costs.summary({"train/x": 1.0}) == {"train/x": 1.0}


@pytest.mark.parametrize(
    ("new", "replayed", "happened", "warns"),
    [(0.1, 0.8, 0.1, True), (0.5, 0.8, 0.1, False), (0.1, 0.8, 0.001, False)],
)
def test_it_warns_of_costs_known_by_heart(
    new: float, replayed: float, happened: float, warns: bool
):
    said = fresh_costs.warning(
        {"fresh/happened": happened}, {RECALL: new, REPLAYED_RECALL: replayed}
    )
    assert (said is not None) == warns
    assert said is None or "10% of the costs on new rows and 80% on replayed ones" in said


@pytest.mark.slow
def test_agents_report_the_cost_at_the_row_they_see_in_training_only():
    agent = SafeDreamer(tiny("bsrp_lag"), VECTOR)
    arguments = (
        agent.init(0),
        agent.init_carry(2),
        observations(VECTOR, (2,)),
        np.ones(2, bool),
        jax.random.key(0),
    )
    _, carry, info = agent.act(*arguments, "train")
    model = agent.networks(arguments[0].params).model
    np.testing.assert_allclose(info[COST_NOW], model.cost(untracked(carry.latent)), rtol=1e-5)
    assert COST_NOW not in agent.act(*arguments, "eval")[2]


class Seeing(ToyAgent):
    """Predicts a cost exactly where its observation is beyond the edge.

    The last simulator step before such an observation has a cost of 1.
    """

    def act(self, state, carry, obs, is_first, key, mode):
        actions, carry, info = super().act(state, carry, obs, is_first, key, mode)
        return (
            actions,
            carry,
            info | {COST_NOW: (obs["observation"][:, 0] > EDGE).astype(np.float32)},
        )


def test_a_runs_metrics_pair_expectations_with_the_costs_of_their_rows(tmp_path):
    """Paired with the row before or after, predictions would be wrong wherever the edge is crossed
    or an episode starts.
    """
    train(toy_spec(), tmp_path / "run", toy_env, Seeing, Options())
    rows = [row for row in metric_rows(tmp_path / "run") if PRECISION in row]
    assert len(rows) >= 2 and {row[PRECISION] for row in rows} == {1.0}
    assert all(row[RECALL] > 0.5 and row[TRUE] >= row[PREDICTED] > 0.0 for row in rows)
    assert all(not name.endswith(COST_NOW) for row in rows for name in row)
