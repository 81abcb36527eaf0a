"""Finds the arrays of an OmniSafe learner that its actions depend on.

OmniSafe's algorithms keep actors, critics, normalisers and budgets in different places. Therefore
each array of the state is replaced in turn by that of a new learner: if no action changes, acting
does not need it. Planners are not supported: the scalers of their models hold no arrays before
training.

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
    """Input of a policy in one step of E environments."""

    obs: np.ndarray  # [E, D]
    cost: np.ndarray  # [E], of the following action


def decisions(learner: Learner, rows: Sequence[Seen]) -> np.ndarray:
    """Actions [modes, T, E, A] for these rows: deterministic, then sampled if they differ.

    Reproducible for the same learner.
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

    Args: new, made like `trained` from another seed; on return it acts like `trained`.
    Raises ValueError if these arrays alone do not suffice for that.
    """
    wanted, state, fresh = decisions(trained, rows), trained.state(), new.state()
    kept = {}
    for name, array in state.arrays.items():
        own = fresh.arrays.get(name)
        if name.startswith(NO_PART_OF_A_POLICY) or own is None or own.shape != array.shape:
            continue  # the latter two: moments of optimisers, grown histories
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
    except ValueError:  # torch's distributions reject non-finite values, from a std of 0
        return False


def fill(learner: Learner, arrays: Mapping[str, np.ndarray]) -> None:
    """Replace arrays of the learner by these, cast to its dtypes."""
    state = learner.state()
    given = {name: array.astype(state.arrays[name].dtype) for name, array in arrays.items()}
    learner.load(Tree(state.arrays | given, state.plain))
