"""Specs of small environments, configurations, batches, trajectories and checks for tests of the
agents.

No simulator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from agents.api import ArraySpec, EnvSpec, PyTree
from agents.safedreamer.config import ModelConfig, SafeDreamerConfig
from agents.safedreamer.imagine import Trajectory
from agents.safedreamer.objectives import Returns
from agents.safedreamer.presets import agent_config
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import untracked

HAZARDS = slice(4, 8)  # two hazards
VECTOR = EnvSpec(
    {"observation": ArraySpec((9,), "float32")}, 2, 4, 1000, {"hazards": HAZARDS}, ("hazards",)
)
LIDAR = EnvSpec({"observation": ArraySpec((12,), "float32")}, 2, 4, 1000)
VISION = EnvSpec(
    {name: ArraySpec((64, 64, 3), "uint8") for name in ("image", "image2")}, 2, 4, 1000
)
ENVS = {"coordinates": VECTOR, "lidar": LIDAR, "vision": VISION}

Module = TypeVar("Module", bound=nnx.Module)


def tiny(method: str, obs: str = "coordinates", **changes: object) -> SafeDreamerConfig:
    """The debug preset with changed top-level settings."""
    return dataclasses.replace(agent_config(method, obs, "debug"), **changes)  # pyright: ignore[reportArgumentType]


def observations(env: EnvSpec, lead: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    draw = {
        "uint8": lambda shape: rng.integers(0, 256, shape).astype(np.uint8),
        "float32": lambda shape: rng.normal(size=shape).astype(np.float32),
    }
    return {name: draw[spec.dtype]((*lead, *spec.shape)) for name, spec in env.obs.items()}


def replay_batch(
    env: EnvSpec, batch: int = 3, length: int = 6, seed: int = 0
) -> dict[str, np.ndarray]:
    """A replay batch [B, T, ...] of noise; episodes start mid-sequence and some terminate."""
    rng, lead = np.random.default_rng(seed), (batch, length)
    first = np.zeros(lead, bool)
    first[0, 0] = first[-1, length // 2] = True
    last = np.zeros(lead, bool)
    last[-1, length // 2 - 1] = True
    return {
        **observations(env, lead, seed + 1),
        "action": rng.uniform(-1, 1, (*lead, env.action_dim)).astype(np.float32),
        "reward": rng.normal(size=lead).astype(np.float32),
        "cost": rng.choice([0.0, 1.0, 2.0], lead).astype(np.float32),
        "is_first": first,
        "is_last": last,
        "is_terminal": last.copy(),
    }


def window_rows(env: EnvSpec, lead: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Rows of noise [N, T, ...] in windows as diagnoses take them; each starts an episode."""
    rng = np.random.default_rng(seed)
    first = np.zeros(lead, bool)
    first[:, 0] = True
    return observations(env, lead, seed) | {
        "action": rng.uniform(-1, 1, (*lead, env.action_dim)).astype(np.float32),
        "reward": rng.normal(size=lead).astype(np.float32),
        "cost": (rng.random(lead) < 0.3).astype(np.float32),
        "is_first": first,
    }


def as_float(tree: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: float(value) for name, value in tree.items()}


def copied(tree: PyTree) -> PyTree:
    """Copy to the host, since `update` donates its state."""
    return jax.tree.map(np.array, tree)


def same(a: PyTree, b: PyTree) -> bool:
    """Whether two trees of one structure hold equal values."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def shaken(module: Module, seed: int = 0) -> Module:
    """Perturb every parameter of the module, so that zero-initialised layers have an effect."""
    graph, params = nnx.split(module)
    rng = np.random.default_rng(seed)
    return nnx.merge(
        graph, jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), params)
    )


def hand_made(config: ModelConfig) -> tuple[Trajectory, Returns, Returns]:
    """A trajectory of four states from two starts, the second of which is terminal, and returns of
    rewards and costs.
    """
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    stoch = jnp.zeros((4, 2, config.stoch, config.classes))
    belief = untracked(Latent(jnp.zeros((4, 2, config.deter)), stoch, stoch))
    cont = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    traj = Trajectory(belief, draw(*belief.feat.shape), draw(4, 2, 2), cont)
    rewards, costs = (Returns(draw(3, 2), draw(4, 2), draw(3, 2)) for _ in range(2))
    return traj, rewards, costs


def acts_and_updates(
    agent: Any, batch: Mapping[str, np.ndarray]
) -> tuple[PyTree, dict[str, jax.Array], dict[str, jax.Array]]:
    """Trace an action and an update without running them, and check shapes and types.

    State and carry must keep theirs, weak types included: otherwise the second call would compile
    again. Returns the state after the update, the action's info and the update's metrics.
    """
    rows = 4
    obs, first, key = observations(agent.env, (rows,)), np.zeros(rows, bool), jax.random.key(0)
    state, carry = jax.eval_shape(agent.init, 0), jax.eval_shape(lambda: agent.init_carry(rows))

    def act(state: PyTree, carry: PyTree):
        return agent.act(state, carry, obs, first, key, "train")

    action, new_carry, info = jax.eval_shape(act, state, carry)
    assert (action.shape, action.dtype) == ((rows, agent.env.action_dim), np.float32)
    assert {x.shape for x in info.values()} == {(rows,)}
    new_state, metrics = jax.eval_shape(agent.learner.update, state, batch, key)
    assert all(x.shape == () for x in metrics.values())
    for before, after in ((state, new_state), (carry, new_carry)):
        assert jax.tree.structure(before) == jax.tree.structure(after)
        assert [(x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(before)] == [
            (x.shape, x.dtype, x.weak_type) for x in jax.tree.leaves(after)
        ]
    return new_state, info, metrics
