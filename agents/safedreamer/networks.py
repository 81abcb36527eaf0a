"""The networks of a SafeDreamer agent."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.params import params_of
from agents.safedreamer.actor_critic import Actor, Critic
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.world_model import WorldModel


class Networks(NamedTuple):
    """One entry per network: modules, graph definitions, parameters, optimisers or their states.

    The cost critic is None (an empty pytree) without predicted costs.
    """

    model: Any
    actor: Any
    critic: Any
    cost_critic: Any


def build(config: SafeDreamerConfig, env: EnvSpec, rngs: nnx.Rngs) -> Networks:
    """Newly initialised modules for one kind of environment."""
    dtype = jnp.dtype(config.dtype)
    model = WorldModel(config.model, env, rngs=rngs, dtype=dtype)
    actor = Actor(
        model.view_dim, env.action_dim, config.actor, config.model, rngs=rngs, dtype=dtype
    )
    critic = Critic(model.view_dim, config.model, rngs=rngs, dtype=dtype)
    cost_critic = (
        Critic(model.view_dim, config.model, rngs=rngs, dtype=dtype) if config.use_cost else None
    )
    return Networks(model, actor, critic, cost_critic)


def init_params(config: SafeDreamerConfig, env: EnvSpec, key: jax.Array) -> Networks:
    """Newly initialised parameters, one pure dict per network."""
    return params_of(build(config, env, nnx.Rngs(key)))
