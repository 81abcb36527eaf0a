"""Finds the arrays of a learner's state that acting and dreaming read: not optimisers, targets,
normalisers of the actor's loss or replayed imaginations.

They are found by tracing the functions, so that no method needs to list its own. Agents of the
SafeDreamer family keep all of their networks, so that one trained to act with its actor can plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import partial_eval

from agents.api import Agent, EnvSpec, PyTree
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.open_loop import open_loop


def needed(agent: Agent, state: PyTree, env: EnvSpec) -> frozenset[str]:
    """Names (`jax.tree_util.keystr`) of the leaves of `state` that affect an evaluation action, the
    policy's carry or, for SafeDreamer-family agents, the predictions shown in a video.
    """
    obs = {name: np.zeros((1, *spec.shape), spec.dtype) for name, spec in env.obs.items()}
    first, key = np.ones(1, bool), jax.random.key(0)
    carry = agent.init_carry(1)

    def acting(state: PyTree) -> Any:
        return agent.act(state, carry, obs, first, key, "eval")[:2]

    found = read_by(acting, state)
    if isinstance(agent, SafeDreamer):
        rows = {name: jnp.stack([value, value], 1) for name, value in obs.items()} | {
            "action": jnp.zeros((1, 2, env.action_dim), jnp.float32),
            "is_first": jnp.array([[True, False]]),
        }
        found |= read_by(lambda s: open_loop(agent.networks(s.params), rows, 1, key), state)
    return found


def kept(agent: Agent, state: PyTree, env: EnvSpec) -> frozenset[str]:
    """Names of the leaves of `state` that a published policy has: those needed and, for
    SafeDreamer-family agents, all networks.
    """
    found = needed(agent, state, env)
    if isinstance(agent, SafeDreamer):
        found |= read_by(lambda s: s.params, state)
    return found


def read_by(function: Callable[[PyTree], Any], state: PyTree) -> frozenset[str]:
    """Names of the leaves of `state` on which the function's outputs depend."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    traced = jax.make_jaxpr(
        lambda values: function(jax.tree_util.tree_unflatten(structure, values))
    )
    jaxpr = traced([leaf for _, leaf in leaves]).jaxpr
    _, used = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return frozenset(
        jax.tree_util.keystr(path) for (path, _), read in zip(leaves, used, strict=True) if read
    )
