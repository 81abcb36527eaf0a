"""Records rows of real episodes on which two states of one policy are compared."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from agents.api import Agent, PyTree
from benchmarks.envs import VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.runs.policy_file import ENVS, ROWS
from benchmarks.training.episodes import UNSEEN_EPISODE
from benchmarks.training.keys import evaluation_key, fold_in


class Row(NamedTuple):
    """One decision for ENVS environments: its inputs, and the carry after it."""

    carry: Any
    obs: dict[str, np.ndarray]
    is_first: np.ndarray
    key: jax.Array
    after: Any


def record(agent: Agent, state: PyTree, make_env: MakeEnv, run_seed: int) -> list[Row]:
    """Record ROWS decisions in ENVS unseen layouts; fewer if an episode ends earlier."""
    carry, base, found = agent.init_carry(ENVS), evaluation_key(run_seed, 0), []
    with VectorEnv(make_env, ENVS, run_seed, "eval", "inline", UNSEEN_EPISODE) as envs:
        step = envs.reset()
        while len(found) < ROWS and not step.is_last.any():
            key = fold_in(base, len(found))
            action, after, _ = agent.act(state, carry, step.obs, step.is_first, key, "eval")
            found.append(Row(carry, dict(step.obs), step.is_first, key, after))
            carry = after
            step = envs.step(np.asarray(action))
    return found
