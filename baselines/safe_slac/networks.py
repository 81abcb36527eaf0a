"""The networks of a Safe SLAC agent."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.params import params_of
from baselines.sac.actor_critic import build as build_sac
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
    size = config.latent.size
    return Networks(
        LatentModel(config.latent, env, rngs=rngs),
        *build_sac(config.sac, size, env, config.cost_limit, rngs),
    )


def init_params(config: SafeSLACConfig, env: EnvSpec, key: jax.Array) -> Learned:
    """Newly initialised parameters, one pure dict per network, and the log temperature."""
    params = params_of(build(config, env, nnx.Rngs(key)))
    return Learned(**params._asdict(), log_temperature=jnp.log(jnp.float32(config.sac.temperature)))
