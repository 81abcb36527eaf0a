"""What acting needs of a learner of OmniSafe, found by what its actions depend on.

OmniSafe's algorithms keep actors, critics, normalisers and budgets in different places. So each
array of the state is replaced by that of a new learner in turn: where no action changes, acting
does not need it. Planners are left out: the scalers of their models are no arrays before they have
seen data.

Shapes: T decisions, E environments; D observation, A action dimensions.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from baselines.omnisafe.learner import Learner
from baselines.omnisafe.policy import make_policy
from baselines.omnisafe.state import Arrays, Tree, borrowed_rng

NO_PART_OF_A_POLICY = ("rng:", "replay:")


class Seen(NamedTuple):
    """What a policy meets in one step of E environments."""

    obs: np.ndarray  # [E, D]
    cost: np.ndarray  # [E], of the action that follows


def decisions(learner: Learner, rows: Sequence[Seen]) -> np.ndarray:
    """Actions [modes, T, E, A] for these rows: most likely ones, then sampled ones where a policy
    tells the two apart. The same learner gives the same.
    """
    policy = make_policy(learner)
    modes = []
    for deterministic in (True, False)[: 1 + policy.samples]:
        with borrowed_rng(0):
            policy.begin(len(rows[0].obs))
            actions = []
            for row in rows:
                actions.append(policy.act(row.obs, deterministic))
                policy.paid(row.cost)
            modes.append(actions)
    return np.array(modes)


def needed(trained: Learner, new: Learner, rows: Sequence[Seen]) -> Arrays:
    """Arrays of the trained learner's state that its decisions on these rows depend on, by name.

    Args: new, made like `trained` from another seed; it is left acting like `trained`.
    Raises ValueError where arrays alone do not make it act so.
    """
    wanted, state, fresh = decisions(trained, rows), trained.state(), new.state()
    kept = {}
    for name, array in state.arrays.items():
        own = fresh.arrays.get(name)
        if name.startswith(NO_PART_OF_A_POLICY) or own is None or own.shape != array.shape:
            continue  # the last two: moments of optimisers, histories that grew
        if np.array_equal(own, array):
            continue
        trained.load(Tree(state.arrays | {name: own}, state.plain))
        if not _acts_so(trained, rows, wanted):
            kept[name] = array
    trained.load(state)
    fill(new, kept)
    if not _acts_so(new, rows, wanted):
        raise ValueError("its actions depend on more than the arrays of its learner's state")
    return kept


def _acts_so(learner: Learner, rows: Sequence[Seen], wanted: np.ndarray) -> bool:
    try:
        return np.array_equal(decisions(learner, rows), wanted)
    except ValueError:  # torch's distributions refuse what is not finite: divided by a spread of 0
        return False


def fill(learner: Learner, arrays: Mapping[str, np.ndarray]) -> None:
    """Put these arrays in place of the learner's own, in its dtypes."""
    state = learner.state()
    given = {name: array.astype(state.arrays[name].dtype) for name, array in arrays.items()}
    learner.load(Tree(state.arrays | given, state.plain))
