"""Which arrays of a learner of OmniSafe are published: those that its actions depend on."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.omnisafe


class Scaled:
    """Stands for a learner whose actions are observations less `mean`, divided by `std`."""

    def __init__(self, plain: float = 1.0, **arrays: np.ndarray) -> None:
        self.arrays, self.plain = arrays, {"factor": plain}

    def state(self):
        from baselines.omnisafe.state import Tree

        return Tree(dict(self.arrays), dict(self.plain))

    def load(self, tree) -> None:
        self.arrays, self.plain = dict(tree.arrays), dict(tree.plain)


def decisions(learner: Scaled, rows: np.ndarray) -> np.ndarray:
    actions = learner.plain["factor"] * (rows - learner.arrays["mean"]) / learner.arrays["std"]
    if not np.isfinite(actions).all():
        raise ValueError("found invalid values")  # as torch's distributions do
    return actions


ROWS = np.array([[1.0, 2.0], [3.0, 2.0]])  # the second entry never varies


@pytest.fixture
def published(monkeypatch):
    from baselines.omnisafe import published

    monkeypatch.setattr(published, "decisions", decisions)
    return published


def new() -> Scaled:
    start = {"mean": np.zeros(2), "std": np.zeros(2), "moment": np.zeros(2)}
    return Scaled(**start, **{"rng:numpy": np.ones(2)})


def trained(plain: float = 1.0) -> Scaled:
    ours = {"mean": np.array([2.0, 2.0]), "std": np.array([1.0, 0.01]), "moment": np.ones(2)}
    return Scaled(plain, **ours, **{"rng:numpy": np.zeros(2), "grown": np.ones(3)})


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_actions_depend_on_is_kept_also_where_its_lack_divides_by_zero(published):
    before, fresh = trained(), new()
    kept = published.needed(before, fresh, ROWS)
    assert kept.keys() == {"mean", "std"}
    np.testing.assert_array_equal(decisions(fresh, ROWS), decisions(before, ROWS))
    assert before.arrays.keys() == trained().arrays.keys()
    np.testing.assert_array_equal(before.arrays["std"], [1.0, 0.01])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_policy_that_arrays_alone_do_not_make_is_refused(published):
    with pytest.raises(ValueError, match="depend on more than the arrays"):
        published.needed(trained(plain=2.0), new(), ROWS)
