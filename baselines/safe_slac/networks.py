"""The networks of a Safe SLAC agent."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.params import params_of
from baselines.sac.actor_critic import Actor, CostCritic, TwinCritic, discounted_limit
from baselines.safe_slac.config import SafeSLACConfig
from baselines.safe_slac.latent import LatentModel


class Networks(NamedTuple):
    """One entry per network: modules, graph definitions or parameters."""

    latent: Any
    actor: Any
    critic: Any
    cost_critic: Any


class Learned(NamedTuple):
    """Everything with an optimiser: parameters, optimisers or their states."""

    latent: Any
    actor: Any
    critic: Any
    cost_critic: Any
    log_temperature: Any


def build(config: SafeSLACConfig, env: EnvSpec, rngs: nnx.Rngs) -> Networks:
    """Newly initialised modules for one kind of environment."""
    size, units = config.latent.size, config.sac.units
    bias = discounted_limit(config.cost_limit, config.sac.cost_discount, env.episode_agent_steps)
    return Networks(
        LatentModel(config.latent, env, rngs=rngs),
        Actor(size, env.action_dim, units, rngs=rngs),
        TwinCritic(size + env.action_dim, units, rngs=rngs),
        CostCritic(size + env.action_dim, config.sac, bias, rngs=rngs),
    )


def init_params(config: SafeSLACConfig, env: EnvSpec, key: jax.Array) -> Learned:
    """Newly initialised parameters, one pure dict per network, and the log temperature."""
    params = params_of(build(config, env, nnx.Rngs(key)))
    return Learned(**params._asdict(), log_temperature=jnp.log(jnp.float32(config.sac.temperature)))
