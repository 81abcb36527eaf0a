"""The LAMBDA agent: a policy (actor on filtered latent states) and a learner, both jitted;
implements `agents.api.Agent`.

Filtering and acting use the current parameters; sampled ones are used only in imagination. Latent
states are reset at the start of every episode, also in evaluation.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec, PyTree
from agents.jitted import JittedAgent
from baselines.lambda_.config import LambdaConfig
from baselines.lambda_.learner import AgentState, Learner
from baselines.lambda_.rssm import Latent, zero_latent


class Carry(NamedTuple):
    """Policy state per environment: latent [E, ...] and previous action [E, A]."""

    latent: Latent
    action: jax.Array


class Lambda(JittedAgent):
    """LAMBDA for one kind of environment; implements `agents.api.Agent`.

    Only imagined costs drive its multiplier, so `end_episode` does nothing.
    """

    def __init__(self, config: LambdaConfig, env: EnvSpec):
        self.config, self.pretrain_updates = config, config.pretrain_updates
        self.learner = Learner(config, env)
        super().__init__(env, self.learner.init, self.learner.update)

    def init_carry(self, num_envs: int) -> Carry:
        """Zeros, the state at the start of every episode."""
        return Carry(
            zero_latent(self.config.model, (num_envs,)), jnp.zeros((num_envs, self.env.action_dim))
        )

    def _acting_state(self, state: AgentState) -> tuple[PyTree, ...]:
        return state.params.model, state.params.actor

    def _act_impl(self, model_params, actor_params, carry, obs, is_first, key, mode):
        latent_key, action_key = jax.random.split(key)
        model = nnx.merge(self.learner.graphs.model, model_params)
        actor = nnx.merge(self.learner.graphs.actor, actor_params)
        noise = jax.random.normal(latent_key, carry.latent.stoch.shape)
        transition, posterior = model.dynamics.transition, model.posterior
        latent = posterior.correct(
            transition, carry.latent, carry.action, model.encoder(obs), is_first, noise
        )
        if mode == "train":
            action = actor.sample(latent.feat, jax.random.normal(action_key, carry.action.shape))
        else:
            action = actor.mode(latent.feat, action_key)
        return action, Carry(latent, action), {"actor/std": actor(latent.feat)[1].mean(-1)}
