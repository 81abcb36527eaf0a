"""The networks of an agent."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.params import params_of
from baselines.mbpo.config import MBPOConfig
from baselines.mbpo.data import used_keys
from baselines.mbpo.ensemble import Ensemble
from baselines.sac.actor_critic import SACNetworks
from baselines.sac.actor_critic import build as build_sac


class Learned(NamedTuple):
    """Everything with an optimiser: parameters, optimisers or their states.

    `model` is None if unused.
    """

    actor: Any
    critic: Any
    cost_critic: Any
    log_temperature: Any
    model: Any


def state_size(env: EnvSpec) -> int:
    """Z: entries of all vectors of an observation."""
    return sum(env.obs[name].shape[0] for name in used_keys(env.obs))


def build(config: MBPOConfig, env: EnvSpec, rngs: nnx.Rngs) -> SACNetworks:
    """Newly initialised modules for one kind of environment."""
    return build_sac(config.sac, state_size(env), env, config.cost_limit, rngs)


def init_params(
    config: MBPOConfig, env: EnvSpec, ensemble: Ensemble | None, key: jax.Array
) -> Learned:
    """Newly initialised parameters; actor and critics do not depend on whether there is a model."""
    return Learned(
        *params_of(build(config, env, nnx.Rngs(key))),
        log_temperature=jnp.log(jnp.float32(config.sac.temperature)),
        model=None if ensemble is None else ensemble.init(jax.random.fold_in(key, 1)),
    )
