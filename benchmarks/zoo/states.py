"""Saves and loads policies of the zoo as states of JAX agents.

A policy is loaded into the state of a fresh agent; leaves that acting does not read keep their
initial values.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import Agent, EnvSpec, PyTree
from benchmarks.runs.checkpoint import read_arrays
from benchmarks.runs.policy_file import check_fits
from benchmarks.runs.reading import DamagedFile
from benchmarks.training.launch import agent_for
from benchmarks.zoo.entry import Entry, checked_file
from benchmarks.zoo.needed import kept, needed


def arrays_of(agent: Agent, state: PyTree, env: EnvSpec) -> dict[str, np.ndarray]:
    """The arrays of a learner state that a published policy has, by name of the leaf."""
    wanted = kept(agent, state, env)
    leaves = jax.tree_util.tree_flatten_with_path(jax.device_get(state))[0]
    named = ((jax.tree_util.keystr(path), leaf) for path, leaf in leaves)
    return {name: np.asarray(leaf) for name, leaf in named if name in wanted}


def filled(template: PyTree, arrays: dict[str, np.ndarray], source: Path) -> PyTree:
    """The template with its leaves replaced by these arrays, in the template's dtypes.

    Raises DamagedFile (of `source`) if they do not fit.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    own = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    check_fits(arrays, own, source)
    return jax.tree_util.tree_unflatten(
        structure,
        [
            jnp.asarray(arrays[name], leaf.dtype) if name in arrays else leaf
            for name, leaf in own.items()
        ],
    )


def load(entry: Entry, env: EnvSpec) -> tuple[Agent, PyTree]:
    """Agent and state that act as the published policy; needs no internet access.

    Raises DamagedFile if the file does not match its card, is not a policy of this agent, or lacks
    a leaf needed for acting.
    """
    file = checked_file(entry)
    arrays = read_arrays(file)
    agent = agent_for(entry.spec, env)
    template = agent.init(entry.spec.seed)
    if missing := sorted(needed(agent, template, env) - arrays.keys()):
        raise DamagedFile(file, None, f"it lacks {missing[0]}, which its run folder has")
    return agent, filled(template, arrays, file)
