"""Which arrays of an OmniSafe learner are published: those that its actions depend on."""

from __future__ import annotations

import pytest

from tests.programs import omnisafe_output

# Runs in a separate process, because importing OmniSafe changes global settings. `Scaled` stands
# for a learner whose actions are observations minus `mean`, divided by `std`; the second entry of
# its observations never varies.
PROGRAM = """
import numpy as np
from baselines.omnisafe import published
from baselines.omnisafe.state import Tree

class Scaled:
    def __init__(self, factor=1.0, **arrays):
        self.arrays, self.plain = arrays, {"factor": factor}
    def state(self):
        return Tree(dict(self.arrays), dict(self.plain))
    def load(self, tree):
        self.arrays, self.plain = dict(tree.arrays), dict(tree.plain)

def decisions(learner, rows):
    with np.errstate(invalid="ignore", divide="ignore"):
        actions = learner.plain["factor"] * (rows - learner.arrays["mean"]) / learner.arrays["std"]
    if not np.isfinite(actions).all():
        raise ValueError("found invalid values")  # as torch's distributions do
    return actions

def trained(factor=1.0):
    ours = {"mean": np.array([2.0, 2.0]), "std": np.array([1.0, 0.01]), "moment": np.ones(2)}
    return Scaled(factor, **ours, **{"rng:numpy": np.zeros(2), "grown": np.ones(3)})

published.decisions = decisions
rows = np.array([[1.0, 2.0], [3.0, 2.0]])
start = {"mean": np.zeros(2), "std": np.zeros(2), "moment": np.zeros(2), "rng:numpy": np.ones(2)}
"""


@pytest.mark.omnisafe
@pytest.mark.slow
def test_what_actions_depend_on_is_kept_also_where_its_lack_divides_by_zero():
    said = omnisafe_output(
        f"{PROGRAM}"
        "before, new = trained(), Scaled(**start)\n"
        "print(*published.needed(before, new, rows))\n"
        "print((decisions(new, rows) == decisions(before, rows)).all())\n"
        "print(before.arrays['std'], before.arrays['moment'])\n"
        "try:\n"
        "    published.needed(trained(factor=2.0), Scaled(**start), rows)\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    assert said.splitlines() == [
        "mean std",
        "True",
        "[1.   0.01] [1. 1.]",
        "its actions depend on more than the arrays of its learner's state",
    ]


@pytest.mark.omnisafe
@pytest.mark.slow
def test_numbers_beyond_half_precision_are_an_infinite_error():
    said = omnisafe_output(
        f"{PROGRAM}"
        "from benchmarks.omnisafe.publish import half_error\n"
        "tiny, large = trained(), trained()\n"
        "tiny.arrays['std'] = np.array([1.0, 1e-9], np.float16)\n"
        "large.arrays['mean'] = np.array([1e9, 2.0]).astype(np.float32).astype(np.float16)\n"
        "print(*(half_error(trained(), half, rows) for half in (trained(), tiny, large)))\n"
    )
    assert said.split() == ["0.0", "inf", "inf"]
